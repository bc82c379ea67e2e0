job "d" {
  group "g" {
    constraint { distinct_hosts = false }
    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
