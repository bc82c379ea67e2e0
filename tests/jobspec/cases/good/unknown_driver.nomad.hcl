job "podman" {
  group "g" {
    task "t" {
      driver = "podman"
      config {
        image = "docker.io/library/redis"
      }
    }
  }
}
