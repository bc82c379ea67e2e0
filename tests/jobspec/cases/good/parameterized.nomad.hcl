job "encode" {
  type        = "batch"
  max_running = 3
  parameterized {
    payload       = "required"
    meta_required = ["format"]
    meta_optional = ["speed"]
  }
  group "g" {
    task "t" {
      driver = "mock_driver"
      dispatch_payload {
        file = "movie.txt"
      }
    }
  }
}
