job "a" {
  group "g" {
    network {
      port "http" {}
      port "http" {}
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
    task "t" {
      driver = "raw_exec"
      config { command = "y" }
    }
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "z" }
    }
  }
}
