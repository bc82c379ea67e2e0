job "a" {
  priority = 0
  group "g" {
    count = -1
    ephemeral_disk { size = 5 }
    network {
      port "a" { static = 70000 }
      port "b" { to = -2 }
    }
    task "t" {
      driver       = "raw_exec"
      kill_timeout = "-5s"
      config { command = "x" }
      resources {
        cpu        = 0
        memory     = 1
        memory_max = 0
      }
      logs {
        max_files     = 0
        max_file_size = 0
      }
    }
  }
}
