# A rollout that takes itself back: the release "broken" ends at once, and the newest one that was good comes again.
#
#   encamp job run contrib/jobs/revert.nomad.hcl
#   encamp job run -var release=broken contrib/jobs/revert.nomad.hcl
#   encamp job history revert
variable "release" {
  type    = string
  default = "1"
}

job "revert" {
  group "web" {
    count = 2

    update {
      auto_revert       = true
      min_healthy_time  = "1s"
      progress_deadline = "0s" # the first unhealthy allocation ends the rollout
    }

    restart {
      attempts = 0
      mode     = "fail"
    }

    task "server" {
      driver = "raw_exec"

      env {
        RELEASE = var.release
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "test $RELEASE != broken && exec sleep 3600"]
      }
    }
  }
}
