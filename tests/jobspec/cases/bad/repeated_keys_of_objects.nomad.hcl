job "a" {
  meta = {
    x = 1
    x = 2
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "x"
        args    = [{ a = 1, a = 2 }]
      }
      env {
        X = jsonencode({ "a" = 1, (upper("\u001b")) = 2, a = 3 })
      }
    }
  }
}
