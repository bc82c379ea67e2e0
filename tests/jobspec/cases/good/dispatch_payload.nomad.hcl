job "payload" {
  type = "batch"
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      dispatch_payload { file = "input/data.json" }
    }
  }
}
