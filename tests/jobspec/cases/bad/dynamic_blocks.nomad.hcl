job "a" {
  group "g" {
    dynamic "network" {
      for_each = 5
      content {}
    }
    dynamic "task" {
      content {}
    }
    dynamic "volume" {
      for_each = ["a"]
      labels   = volume.value
      content { source = volume.vlaue }
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
