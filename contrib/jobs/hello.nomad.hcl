# The smallest service: a shell loop, no engine needed. raw_exec is on in `agent -dev`.
job "hello" {
  group "hello" {
    task "hello" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "while true; do echo hello from $NOMAD_ALLOC_ID; sleep 5; done"]
      }
    }
  }
}
