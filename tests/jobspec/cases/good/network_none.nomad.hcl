job "quiet" {
  group "g" {
    network { mode = "none" }
    task "t" {
      driver = "docker"
      config { image = "busybox" }
    }
  }
}
