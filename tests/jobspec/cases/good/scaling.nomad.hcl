# without a count the group begins with min
job "scaled" {
  group "begins_with_min" {
    scaling {
      min     = 2
      max     = 9
      enabled = false
      policy {
        cooldown = "1m"
      }
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
  group "min_is_the_count" {
    count = 3
    scaling { max = 5 }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
