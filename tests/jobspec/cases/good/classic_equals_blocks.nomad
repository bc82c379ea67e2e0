"job" "eq" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config = {
        command = "x"
      }
      resources = {
        cpu = 200
      }
      env = {
        A = "1"
        B = true
        C = 2.5
      }
    }
  }
}
