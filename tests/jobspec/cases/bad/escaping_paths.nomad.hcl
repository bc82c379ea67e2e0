job "a" {
  type = "batch"
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      dispatch_payload { file = "../../etc/passwd" }
    }
    task "u" {
      driver = "raw_exec"
      config { command = "x" }
      dispatch_payload { file = "/etc/passwd" }
    }
  }
}
