job "classlogger_dc1" {
  datacenters = ["dc1"]
  type        = "service"
  priority    = 50
  update {
    stagger      = "10s"
    max_parallel = 1
  }
  group "classlogger_1" {
    count = 100000
    restart {
      mode     = "fail"
      attempts = 3
      interval = "5m"
      delay    = "2s"
    }
    task "classlogger_1" {
      driver = "docker"
      config {
        image        = "hashicorp/nomad-c1m:0.1"
        network_mode = "host"
      }
      resources {
        cpu    = 20
        memory = 15
      }
      logs {
        max_files     = 1
        max_file_size = 5
      }
      env {
        REDIS_ADDR = "redis.service.consul:6379"
        NODE_CLASS = "class_1"
      }
    }
    constraint {
      attribute = "${node.class}"
      value     = "class_1"
    }
  }
}
