# The same redis in today's form: the port belongs to the group, the image comes from a variable.
#
#   encamp job run -var image=redis:7 contrib/jobs/redis.nomad.hcl

variable "image" {
  type        = string
  default     = "redis:3.2"
  description = "image to run"
}

job "redis" {
  datacenters = ["dc1"]

  group "cache" {
    network {
      port "db" {
        to = 6379
      }
    }

    restart {
      attempts = 3
      interval = "5m"
      delay    = "5s"
      mode     = "fail"
    }

    task "redis" {
      driver = "docker"

      config {
        image = var.image
        ports = ["db"]
      }

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
