# test: env NOMAD_VAR_region=eu NOMAD_VAR_unknown=1
variable "region" { default = "us" }
job "v" {
  region = var.region
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
