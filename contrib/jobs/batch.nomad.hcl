# Work that ends: four runs, each with its number; a failed one is tried again, not more than an hour in all.
job "sum" {
  type = "batch"

  group "work" {
    count            = 4
    max_run_duration = "1h"

    restart {
      attempts = 1
      interval = "10m"
      delay    = "5s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 2
      interval  = "1h"
      unlimited = false
    }

    task "work" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args = ["-c", <<-EOT
          total=0
          for n in $(seq 1 1000); do total=$((total + n)); done
          echo "part $NOMAD_ALLOC_INDEX: $total" | tee "$NOMAD_ALLOC_DIR/result"
          EOT
        ]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
