job "a" {
  update {
    min_healthy_time = "10m"
    healthy_deadline = "5m"
    max_parallel     = -1
  }
  group "g" {
    update { healthy_deadline = "20m" }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
