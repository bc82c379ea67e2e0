job "vol" {
  group "g" {
    volume "data" {
      type      = "host"
      source    = "pg"
      read_only = false
    }
    volume "certs" {
      source    = "tls"
      read_only = true
    }
    task "db" {
      driver = "docker"
      config { image = "postgres:16" }
      volume_mount {
        volume      = "data"
        destination = "/var/lib/postgresql"
      }
      volume_mount {
        volume           = "certs"
        destination      = "/certs"
        read_only        = true
        propagation_mode = "host-to-task"
      }
    }
  }
}
