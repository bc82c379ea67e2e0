job "logs" {
  group "g" {
    ephemeral_disk {
      size   = 1000
      sticky = true
    }
    task "a" {
      driver = "raw_exec"
      config { command = "x" }
      logs {
        max_files     = 3
        max_file_size = 15
        rate_limit    = "512KB"
      }
    }
    task "b" {
      driver = "raw_exec"
      config { command = "x" }
      logs { disabled = true }
    }
    task "c" {
      driver = "raw_exec"
      config { command = "x" }
      logs {
        rate_limit = 1000
        enabled    = true
      }
    }
  }
}
