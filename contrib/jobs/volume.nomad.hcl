# A directory of the node, named in the agent's configuration:
#
#   client {
#     host_volume "data" {
#       path = "/srv/data"
#     }
#   }
job "volume" {
  group "db" {
    volume "data" {
      type      = "host"
      source    = "data"
      read_only = false
    }

    task "db" {
      driver = "exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "date >> /data/starts; sleep 3600"]
      }

      volume_mount {
        volume      = "data"
        destination = "/data"
      }
    }
  }
}
