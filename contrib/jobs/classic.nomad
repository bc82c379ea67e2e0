# The classic dialect: quoted keys and commas, as files from before Nomad 1.0 have them.
job "classic" {
  "datacenters" = ["dc1"]

  group "echo" {
    count = 1

    task "echo" {
      driver = "docker"

      config {
        image = "hashicorp/http-echo:0.2.3"
        args  = ["-listen", ":5678", "-text", "hello"]

        port_map {
          http = 5678
        }
      }

      env {
        "app.mode" = "demo"
      }

      resources {
        cpu    = 100
        memory = 64

        network {
          mbits = 1
          port "http" {}
        }
      }
    }
  }
}
