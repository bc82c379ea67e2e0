job "a" {
  type = "system"
  group "g" {
    count            = 3
    max_run_duration = "1h"
    reschedule { attempts = 1 }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
