job "moved" {
  type = "batch"
  group "g" {
    migrate {
      max_parallel     = -1
      health_check     = "manual"
      min_healthy_time = "10m"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
