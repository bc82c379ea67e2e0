job "a" {
  group "g" {
    restart = { attempts = 1 }
    count {}
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      resources "x" { cpu = 1 }
      volume_mount "v" {}
    }
    task {
      driver = "raw_exec"
    }
  }
}
