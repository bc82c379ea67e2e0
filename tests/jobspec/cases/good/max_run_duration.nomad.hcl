job "limited" {
  type = "batch"
  group "g" {
    max_run_duration = "1h30m"
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
