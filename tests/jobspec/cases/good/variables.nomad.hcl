# test: -var image=redis:7 -var count=3 -var ports=["a","b"]
variable "image" {
  type        = string
  description = "what to run"
}
variable "count" {
  type    = number
  default = 1
}
variable "dcs" {
  type    = list(string)
  default = ["dc1", "dc2"]
}
variable "ports" { type = list(string) }
variable "limits" {
  type = object({ cpu = number, memory = number })
  default = {
    cpu    = "250"
    memory = 64
  }
}
variables {
  owner = "core"
  debug = true
}
locals {
  full  = "${local.short}-${var.owner}"
  short = "svc"
}
job "vars" {
  datacenters = var.dcs
  meta {
    owner = var.owner
    debug = var.debug
    full  = local.full
    upper = upper(local.full)
  }
  group "g" {
    count = var.count
    network {
      dynamic "port" {
        for_each = var.ports
        labels   = ["p_${port.value}"]
        content {
          to = 8000 + port.key
        }
      }
    }
    task "t" {
      driver = "docker"
      config {
        image = var.image
      }
      resources {
        cpu    = var.limits.cpu
        memory = var.limits["memory"]
      }
    }
  }
}
