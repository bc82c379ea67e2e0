# A shop on the fleet beside this file: it fits, and all of it still fits when one rack is lost. With -var shops=40
# it does not; `encamp simulate` says what to add.
variable "shops" {
  type    = number
  default = 12
}

job "shop" {
  group "front" {
    count = var.shops

    network {
      port "http" {}
    }

    task "server" {
      driver = "raw_exec"

      config {
        command = "python3"
        args    = ["-m", "http.server", "${NOMAD_PORT_http}", "--directory", "local"]
      }

      resources {
        cpu    = 1200
        memory = 2048
      }
    }
  }

  group "store" {
    count = 3

    constraint {
      distinct_hosts = true
    }

    task "store" {
      driver = "raw_exec"

      config {
        command = "sleep"
        args    = ["3600"]
      }

      resources {
        cpu    = 500
        memory = 3000
      }
    }
  }
}
