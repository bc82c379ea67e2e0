job "w" {
  update { stagger = "30s" }
  group "g" {
    network {
      mbits = 10
      port "http" { static = 8080 }
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      resources { iops = 100 }
    }
  }
}
