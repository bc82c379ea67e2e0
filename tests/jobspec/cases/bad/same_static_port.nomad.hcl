job "a" {
  group "g" {
    network {
      port "a" { static = 80 }
      port "b" { static = 80 }
    }
    network {}
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
