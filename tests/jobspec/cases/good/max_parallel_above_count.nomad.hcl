job "warn" {
  update { max_parallel = 5 }
  group "g" {
    count = 2
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
