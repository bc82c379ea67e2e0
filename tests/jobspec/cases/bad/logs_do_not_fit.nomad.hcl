job "a" {
  group "g" {
    ephemeral_disk { size = 50 }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      logs {
        max_files     = 5
        max_file_size = 10
        rate_limit    = "fast"
      }
    }
  }
}
