# test: hcl1 -var x=1
variable "x" {}
job "a" {
  group "g" {
    count = "${var.x}"
  }
}
