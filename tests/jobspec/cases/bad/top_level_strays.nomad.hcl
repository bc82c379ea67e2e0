name = "x"
jobs "a" {}
provider "docker" {}
job "a" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
