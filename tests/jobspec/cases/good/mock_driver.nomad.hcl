job "mock" {
  group "g" {
    count = 0
    task "t" {
      driver = "mock_driver"
      config {
        run_for   = "10s"
        exit_code = 1
      }
    }
  }
}
