job "a" {
  type = "batch"
  periodic { crons = ["* * * * *"] }
  parameterized {}
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
