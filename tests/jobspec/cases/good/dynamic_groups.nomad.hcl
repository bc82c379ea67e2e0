locals {
  groups = {
    web = { count = 2, args = ["--port", "80"] }
    api = { count = 1, args = [] }
  }
}
job "dyn" {
  dynamic "group" {
    for_each = local.groups
    iterator = it
    labels   = [it.key]
    content {
      count = it.value.count
      task "main" {
        driver = "raw_exec"
        config {
          command = "/bin/${it.key}"
          args    = it.value.args
        }
        dynamic "constraint" {
          for_each = it.key == "web" ? ["linux"] : []
          content {
            attribute = "${attr.kernel.name}"
            value     = constraint.value
          }
        }
      }
    }
  }
}
