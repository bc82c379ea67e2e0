job "docker" {
  group "g" {
    task "t" {
      driver = "docker"
      config {
        image   = "alpine:3"
        command = "sh"
        args    = ["-c", "sleep 1"]
        volumes = ["local/x:/x:ro"]
        labels {
          team = "core"
        }
        mount {
          type   = "tmpfs"
          target = "/tmp"
          tmpfs_options {
            size = 100000
          }
        }
        mount {
          type     = "bind"
          source   = "local"
          target   = "/data"
          readonly = true
        }
        auth {
          username = "u"
          password = "p"
        }
        cap_drop = ["ALL"]
      }
    }
  }
}
