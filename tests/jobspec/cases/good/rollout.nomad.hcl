job "a" {
  update {
    canary            = 1
    auto_revert       = true
    auto_promote      = true
    progress_deadline = "6m"
    health_check      = "manual"
  }
  group "g" {
    update {
      canary            = 3
      auto_promote      = false
      progress_deadline = 0
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
  group "h" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
