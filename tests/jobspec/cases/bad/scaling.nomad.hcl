job "scaled" {
  group "a" {
    scaling { min = 1 }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
  group "b" {
    count = 9
    scaling {
      min = 1
      max = 5
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
  group "c" {
    scaling {
      min = 6
      max = 5
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
