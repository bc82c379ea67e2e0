job "quoted" {
  "datacenters" = ["dc1"]
  "type" = "service"
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/env"
      }
      env {
        "spring.profile" = "prod"
        "a-b" = "1"
      }
      meta {
        "owner.team" = "core"
      }
    }
  }
}
