# A small web service: one process, one dynamic port, and a log.
job "hello" {
  type = "service"

  group "web" {
    network {
      port "http" {}
    }

    update {
      min_healthy_time = "1s"
    }

    task "server" {
      driver = "raw_exec"

      config {
        command = "python3"
        args    = ["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "${NOMAD_TASK_DIR}", "${NOMAD_PORT_http}"]
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
