job "time" {
  type = "batch"
  group "g" {
    restart {
      interval = 1800000000000
      delay    = "1.5s"
    }
    shutdown_delay = "0s"
    task "t" {
      driver       = "raw_exec"
      kill_timeout = "1m30s"
      config { command = "x" }
    }
  }
}
