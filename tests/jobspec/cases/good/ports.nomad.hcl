job "ports" {
  group "g" {
    network {
      mode = "host"
      port "http" { static = 8080 }
      port "metrics" { to = 9100 }
      port "debug" { to = -1 }
      port "admin" {}
      port "shared" {
        static           = 53
        ignore_collision = true
      }
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
