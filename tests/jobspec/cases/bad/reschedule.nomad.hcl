job "a" {
  group "one" {
    reschedule { attempts = 3 }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
  group "two" {
    reschedule {
      attempts  = 5
      unlimited = false
      interval  = "5m"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
  group "three" {
    reschedule {
      delay     = "1m"
      max_delay = "30s"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
  group "four" {
    reschedule {
      attempts  = 2
      unlimited = false
      delay     = "1s"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
