# Six workers, two thirds of them in the first datacenter, rather on nodes with a fast disk.
job "spread" {
  affinity {
    attribute = "${meta.disk}"
    value     = "ssd"
    weight    = 75
  }

  group "worker" {
    count = 6

    spread {
      attribute = "${node.datacenter}"

      target "dc1" {
        percent = 67
      }
    }

    task "work" {
      driver = "raw_exec"

      config {
        command = "sleep"
        args    = ["3600"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
