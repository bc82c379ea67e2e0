job "a" {
  type = "servce"
  group "g" {
    network { mode = "hosts" }
    restart { mode = "never" }
    reschedule { delay_function = "linear" }
    update { health_check = "check" }
    volume "v" {
      type   = "nfs"
      source = "x"
    }
    task "t" {
      driver      = "raw_exec"
      kill_signal = "SIGTREM"
      config { command = "x" }
      lifecycle { hook = "prestop" }
      volume_mount {
        volume           = "vv"
        destination      = "/x"
        propagation_mode = "shared"
      }
    }
  }
}
