# test: hcl1
job "a" {
  type = "batch"
  type = "service"
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
job "b" {
  group "g" {}
}
