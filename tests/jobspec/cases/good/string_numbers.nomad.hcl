job "conv" {
  priority    = "60"
  all_at_once = "true"
  group "g" {
    count = "2"
    task "t" {
      driver = "raw_exec"
      leader = "false"
      config { command = "x" }
      env {
        N = 8080
        B = false
        F = 1.25
      }
    }
  }
}
