# Launched by dispatch, one at a time: the others wait for their turn, and `encamp job why` says so.
#
#   encamp job run encode.nomad.hcl
#   encamp job dispatch -detach -meta size=small encode
#   encamp job dispatch -wait -meta size=large encode film.json
job "encode" {
  type        = "batch"
  max_running = 1

  parameterized {
    payload       = "optional"
    meta_required = ["size"]
  }

  group "encode" {
    task "encode" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo encoding $NOMAD_META_size; cat local/input 2>/dev/null; sleep 2"]
      }

      dispatch_payload {
        file = "input"
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
