job "a" {
  update {
    canary            = 1
    auto_revert       = true
    auto_promote      = true
    progress_deadline = "5m"
    health_check      = "manual"
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
