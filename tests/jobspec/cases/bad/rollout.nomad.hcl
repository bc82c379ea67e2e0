job "a" {
  group "g" {
    update {
      canary            = -1
      progress_deadline = "5m"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
  group "h" {
    update {
      auto_promote      = true
      progress_deadline = "-5m"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
