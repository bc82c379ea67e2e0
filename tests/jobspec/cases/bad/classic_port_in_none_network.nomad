job "a" {
  group "g" {
    network { mode = "none" }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      resources {
        network {
          port "db" {}
        }
      }
    }
  }
}
