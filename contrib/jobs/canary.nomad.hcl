# A canary: one allocation of a new release runs beside the three of the old one until somebody promotes it.
#
#   encamp job run contrib/jobs/canary.nomad.hcl
#   encamp job run -var release=2 contrib/jobs/canary.nomad.hcl
#   encamp job promote canary
variable "release" {
  type    = string
  default = "1"
}

job "canary" {
  group "web" {
    count = 3

    update {
      canary           = 1
      max_parallel     = 1
      min_healthy_time = "1s"
    }

    task "server" {
      driver = "raw_exec"

      env {
        RELEASE = var.release
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "echo release $RELEASE; exec sleep 3600"]
      }
    }
  }
}
