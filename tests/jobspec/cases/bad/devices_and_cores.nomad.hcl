job "a" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
      resources {
        cpu    = 100
        cores  = 2
        device "nvidia//gpu" {
          count = 0
        }
        device "gpu" {}
        device "gpu" {
          constraint {
            distinct_hosts = true
          }
          affinity {
            attribute = "${device.attr.memory}"
            value     = "1 GiB"
            weight    = 0
          }
        }
      }
    }
    task "u" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
      resources {
        cores = -1
      }
    }
  }
}
