# test: -var imag=x
variable "image" { default = "a" }
job "a" {
  meta {
    x = var.imgae
    y = local.nothing
    z = var
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = var.missing }
    }
  }
}
