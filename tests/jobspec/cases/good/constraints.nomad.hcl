job "c" {
  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }
  constraint {
    attribute = "${attr.cpu.numcores}"
    operator  = ">="
    value     = 4
  }
  group "g" {
    constraint {
      attribute = "${attr.driver.docker.version}"
      version   = ">= 20.10, < 30"
    }
    constraint {
      attribute = "${meta.v}"
      semver    = ">= 1.0.0-beta.1"
    }
    constraint {
      attribute = "${attr.unique.hostname}"
      regexp    = "^web-[0-9]+$"
    }
    constraint {
      attribute    = "${meta.tags}"
      set_contains = "ssd,fast"
    }
    constraint { distinct_hosts = true }
    constraint { distinct_property = "${meta.rack}" }
    constraint {
      operator  = "distinct_property"
      attribute = "${meta.zone}"
      value     = "2"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      constraint {
        attribute = "${meta.disk}"
        operator  = "is_set"
      }
      constraint {
        attribute = "${meta.old}"
        operator  = "is_not_set"
      }
      constraint {
        attribute = "${meta.tags}"
        operator  = "set_contains_any"
        value     = "a,b"
      }
      constraint {
        attribute = "${node.class}"
        operator  = "!="
        value     = "spot"
      }
    }
  }
}
