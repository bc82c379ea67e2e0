job "a" {
  group "g" {
    task "t" {
      driver         = "raw_exec"
      kill_timeout   = 30
      shutdown_delay = "30"
      config { command = "x" }
    }
  }
}
