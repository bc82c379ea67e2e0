# test: -var size=medium -var list=[1,
variable "size" {
  validation {
    condition     = contains(["small", "large"], var.size)
    error_message = "Choose small or large."
  }
  validation {
    condition = true
  }
}
variable "list" { type = list(number) }
job "a" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
