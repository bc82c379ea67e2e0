# test: -var size=large
variable "size" {
  type = string
  validation {
    condition     = contains(["small", "large"], var.size)
    error_message = "Choose small or large."
  }
}
job "v" {
  group "g" {
    count = var.size == "large" ? 10 : 1
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
