job "a" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      resources { disk = 300 }
    }
  }
}
