# Variables, locals, functions and dynamic blocks: one group for each site.
#
#   encamp job run -var 'sites=["berlin","oslo"]' contrib/jobs/many.nomad.hcl

variable "sites" {
  type    = list(string)
  default = ["berlin", "oslo", "turin"]

  validation {
    condition     = length(var.sites) > 0
    error_message = "At least one site is needed."
  }
}

variable "debug" {
  type    = bool
  default = false
}

locals {
  greetings = { for site in var.sites : site => format("hello %s", title(site)) }
  level     = var.debug ? "debug" : "info"
}

job "many" {
  meta {
    sites = join(",", var.sites)
  }

  dynamic "group" {
    for_each = local.greetings
    iterator = site
    labels   = ["site-${site.key}"]

    content {
      task "greet" {
        driver = "raw_exec"

        config {
          command = "/bin/sh"
          args    = ["-c", "while true; do echo $GREETING; sleep 10; done"]
        }

        env {
          GREETING  = site.value
          LOG_LEVEL = local.level
          NODE      = "${node.unique.name}"
        }
      }
    }
  }
}
