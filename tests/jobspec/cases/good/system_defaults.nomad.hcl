job "agent" {
  type        = "system"
  datacenters = ["*"]
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "/usr/bin/top" }
    }
  }
}
