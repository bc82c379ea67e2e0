job "res" {
  group "g" {
    task "a" {
      driver = "raw_exec"
      config { command = "x" }
      resources {
        cpu        = "500"
        memory     = 128
        memory_max = 256
      }
    }
    task "b" {
      driver = "raw_exec"
      config { command = "x" }
      resources { memory_max = -1 }
    }
  }
}
