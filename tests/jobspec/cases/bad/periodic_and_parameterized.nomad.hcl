job "j" {
  periodic {
    cron      = "* * * *"
    crons     = ["0 0 30 2 *", "61 * * * *"]
    time_zone = "Mars/Olympus"
    missed    = "maybe"
  }
  parameterized {
    payload       = "sometimes"
    meta_required = ["a", "b"]
    meta_optional = ["b"]
  }
  group "g" {
    max_running = 2
    task "t" {
      driver = "raw_exec"
      config {
        command = "true"
      }
    }
  }
}
