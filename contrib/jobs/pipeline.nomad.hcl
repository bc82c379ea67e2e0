# Tasks of one allocation: one before, one beside, the main one, one after. They share the alloc directory.
job "pipeline" {
  type = "batch"

  group "pipeline" {
    ephemeral_disk {
      size = 200
    }

    task "prepare" {
      driver = "raw_exec"
      lifecycle {
        hook = "prestart"
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "echo ready > $NOMAD_ALLOC_DIR/input"]
      }
    }

    task "watch" {
      driver = "raw_exec"
      lifecycle {
        hook    = "prestart"
        sidecar = true
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "while true; do ls -l $NOMAD_ALLOC_DIR; sleep 2; done"]
      }
    }

    task "main" {
      driver = "raw_exec"
      leader = true
      config {
        command = "/bin/sh"
        args    = ["-c", "tr a-z A-Z < $NOMAD_ALLOC_DIR/input"]
      }
    }

    task "report" {
      driver = "raw_exec"
      lifecycle {
        hook = "poststop"
      }
      config {
        command = "/bin/echo"
        args    = ["done"]
      }
    }
  }
}
