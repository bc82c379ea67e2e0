job "here" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args = ["-c", <<-EOT
          set -e
            indented ${NOMAD_TASK_DIR}

          done
          EOT
        ]
      }
      env {
        PLAIN = <<EOT
  kept
 as is
EOT
        EMPTY = <<EOT
EOT
        TRAILING = <<EOT
x
  EOT 
        TABS = <<-EOT
		one
			two
		EOT
        ESCAPES = <<EOT
no \n escape, $${x} and %%{y}
EOT
      }
    }
  }
}
