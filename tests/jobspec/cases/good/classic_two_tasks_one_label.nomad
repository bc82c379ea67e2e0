job "pair" {
  datacenters = ["dc1"]
  group "g" {
    task "a" {
      driver = "docker"
      config {
        image = "a:1"
        port_map { http = 80 }
      }
      resources {
        network {
          mbits = 1
          port "http" {}
          port "only" {}
        }
      }
    }
    task "b" {
      driver = "docker"
      config {
        image = "b:1"
        port_map { http = 8080 }
      }
      resources {
        network {
          mbits = 1
          port "http" { static = 9000 }
        }
      }
    }
  }
}
