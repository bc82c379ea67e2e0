job "a" {
  priority    = "high"
  all_at_once = "maybe"
  datacenters = "dc1"
  group "g" {
    count          = 1.5
    shutdown_delay = "5 seconds"
    meta {
      list = [1, 2]
    }
    task "t" {
      driver       = ["raw_exec"]
      kill_timeout = true
      config { command = "x" }
      env {
        A = { b = 1 }
      }
      resources { cpu = null }
    }
  }
}
