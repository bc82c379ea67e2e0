job "life" {
  group "g" {
    shutdown_delay = "3s"
    task "init" {
      driver = "raw_exec"
      config { command = "x" }
      lifecycle { hook = "prestart" }
    }
    task "proxy" {
      driver = "raw_exec"
      config { command = "x" }
      lifecycle {
        hook    = "prestart"
        sidecar = true
      }
    }
    task "main" {
      driver         = "raw_exec"
      leader         = true
      kill_timeout   = "20s"
      kill_signal    = "sigusr1"
      shutdown_delay = "500ms"
      config { command = "x" }
    }
    task "after" {
      driver = "raw_exec"
      config { command = "x" }
      lifecycle { hook = "poststop" }
    }
  }
}
