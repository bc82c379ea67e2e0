# A service that is moved two at a time when a node of it is drained:
#
#   encamp job run drain.nomad.hcl
#   encamp node drain -enable -deadline 10m NODE
#
# At least count - migrate.max_parallel of it stay up.
job "drain" {
  group "app" {
    count = 6

    migrate {
      max_parallel     = 2
      health_check     = "task_states"
      min_healthy_time = "1s"
      healthy_deadline = "1m"
    }

    update {
      min_healthy_time = "1s"
    }

    task "app" {
      driver       = "raw_exec"
      kill_timeout = "2s"

      config {
        command = "/bin/sleep"
        args    = ["1000000"]
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
