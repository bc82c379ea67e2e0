job "nightly" {
  type        = "batch"
  max_running = 1
  periodic {
    crons            = ["30 2 * * *", "*/10 0 12 * * MON", "@hourly"]
    time_zone        = "Europe/Berlin"
    prohibit_overlap = true
    missed           = "all"
  }
  group "g" {
    count       = 10
    max_running = 2
    task "t" {
      driver = "mock_driver"
    }
  }
}
