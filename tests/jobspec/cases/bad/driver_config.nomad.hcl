job "a" {
  group "g" {
    task "docker" {
      driver = "docker"
      config {
        imag  = "x"
        ports = ["nope"]
        mount {
          type  = "bind"
          tagret = "/x"
        }
        privileged = "perhaps"
      }
    }
    task "exec" {
      driver = "raw_exec"
      config {
        args = "not a list"
      }
    }
    task "none" {
      driver = "exec"
    }
  }
}
