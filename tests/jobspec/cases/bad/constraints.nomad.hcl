job "a" {
  constraint {
    attribute = "${attr.x}"
    operator  = "=~"
    value     = "y"
  }
  constraint {
    attribute = "${attr.x}"
    regexp    = "a(b"
  }
  constraint {
    attribute = "${attr.x}"
    version   = "newest"
  }
  constraint {
    attribute = "${attr.x}"
    semver    = ">= 1.0, ~> 2"
  }
  constraint { value = "x" }
  constraint {
    operator  = "distinct_property"
    attribute = "${meta.rack}"
    value     = "many"
  }
  constraint {
    attribute = "${attr.x}"
    version   = "1.0"
    regexp    = "x"
  }
  constraint {
    attribute        = "${attr.x}"
    set_contains_any = "a"
  }
  constraint {
    attribute = "${attr.x}"
    operator  = "is_set"
    value     = "x"
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      constraint { distinct_hosts = true }
    }
  }
}
