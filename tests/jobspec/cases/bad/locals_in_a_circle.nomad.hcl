locals {
  a = local.b
  b = local.c
  c = "${local.a}!"
  d = 1
}
job "a" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
