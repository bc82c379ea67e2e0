# test: hcl1
job "forced" {
  meta {
    text = "say \"hi\" and \\ stay"
    rt = "${attr.kernel.name}"
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args = ["-c", <<EOT
echo one
  echo two
EOT
        ]
      }
    }
  }
}
