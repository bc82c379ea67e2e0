job "p" {
  update {
    max_parallel     = 2
    health_check     = "task_states"
    min_healthy_time = "5s"
    healthy_deadline = "2m"
  }
  reschedule {
    delay          = "10s"
    delay_function = "fibonacci"
    max_delay      = "10m"
  }
  group "one" {
    count = 5
    restart {
      attempts = 5
      interval = "10m"
      delay    = "20s"
      mode     = "delay"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      restart { attempts = 1 }
    }
  }
  group "two" {
    count = 3
    update { max_parallel = 3 }
    reschedule {
      attempts  = 3
      interval  = "1h"
      unlimited = false
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
