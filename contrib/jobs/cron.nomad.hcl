# Launched every ten seconds by cron (six fields: the first are seconds). Launches that nobody could make, because the
# servers were away, are made up for once.
#
#   encamp job run cron.nomad.hcl
#   encamp job status cron          # when the next launch is due, and what became of the last ones
#   encamp job periodic force cron  # one now
job "cron" {
  type = "batch"

  periodic {
    crons            = ["*/10 * * * * *"]
    time_zone        = "Europe/Berlin"
    prohibit_overlap = true
    missed           = "once"
  }

  group "tick" {
    task "tick" {
      driver = "raw_exec"

      config {
        command = "/bin/date"
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
