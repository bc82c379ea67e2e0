job "a" {
  group "g" {
    restart {
      attempts = 10
      delay    = "1m"
      interval = "5m"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      restart {
        attempts = 0
        mode     = "delay"
        interval = "1s"
      }
    }
  }
}
