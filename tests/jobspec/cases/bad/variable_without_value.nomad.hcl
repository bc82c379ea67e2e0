variable "image" { type = string }
variable "n" {
  type    = number
  default = "x"
}
variable "n" {}
variable "odd" {
  type    = strin
  default = 1
}
variable "extra" {
  default   = 1
  sensitive = true
}
job "a" {
  group "g" {
    task "t" {
      driver = "docker"
      config { image = var.image }
    }
  }
}
