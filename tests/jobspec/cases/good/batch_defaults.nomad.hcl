job "report" {
  type     = "batch"
  priority = 70
  group "g" {
    count = 4
    task "t" {
      driver = "raw_exec"
      config { command = "/usr/bin/env" }
    }
  }
}
