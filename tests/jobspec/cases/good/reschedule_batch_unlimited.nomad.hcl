job "b" {
  type = "batch"
  group "g" {
    reschedule {
      unlimited = true
      delay     = "15s"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
