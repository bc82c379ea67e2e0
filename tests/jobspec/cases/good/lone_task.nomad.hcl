# a single task directly in the job becomes a group of its name
job "solo" {
  type = "batch"
  task "work" {
    driver = "exec"
    config { command = "/bin/true" }
  }
}
