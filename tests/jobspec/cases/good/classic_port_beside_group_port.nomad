job "beside" {
  group "g" {
    network {
      port "http" {}
    }
    task "a" {
      driver = "docker"
      config { image = "a:1" }
      resources {
        network {
          port "http" {}
        }
      }
    }
  }
}
