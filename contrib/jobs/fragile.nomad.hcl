# Batch work that fails at once and is not tried again. Under three names it brings a node into quarantine:
#
#   encamp operator scheduler set-config -quarantine on -quarantine-share 100
#   for n in 1 2 3; do sed "s/fragile/fragile-$n/" fragile.nomad.hcl | encamp job run -detach -; done
#   encamp node status -self
#   encamp node eligibility -enable -self
job "fragile" {
  type = "batch"

  group "work" {
    reschedule {
      attempts  = 0
      unlimited = false
    }

    restart {
      attempts = 0
      mode     = "fail"
    }

    task "work" {
      driver = "raw_exec"

      config {
        command = "/bin/false"
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
