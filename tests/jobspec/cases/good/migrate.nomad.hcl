# a group's migrate is merged with the job's
job "moved" {
  migrate {
    max_parallel     = 2
    min_healthy_time = "5s"
  }
  group "own" {
    migrate { max_parallel = 3 }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
  group "as_the_job" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
