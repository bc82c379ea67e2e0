job "a" {
  group "two" {
    task "a" {
      driver = "raw_exec"
      leader = true
      config { command = "x" }
    }
    task "b" {
      driver = "raw_exec"
      leader = true
      config { command = "x" }
    }
  }
  group "none" {
    task "init" {
      driver = "raw_exec"
      config { command = "x" }
      lifecycle { hook = "prestart" }
    }
  }
}
