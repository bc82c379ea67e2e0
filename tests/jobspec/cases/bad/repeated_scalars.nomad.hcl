job "a" {
  type = "batch"
  type = "service"
  group "g" {
    count = 1
    count = 2
    restart { attempts = 1 }
    restart { attempts = 2 }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      config { command = "y" }
      meta { a = 1 }
      meta = { b = 2 }
      env {
        X = 1
        X = 2
      }
    }
  }
}
