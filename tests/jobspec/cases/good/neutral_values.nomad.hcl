# what these ask for is what happens anyway
job "n" {
  update {
    canary       = 0
    auto_revert  = false
    auto_promote = false
  }
  group "g" {
    ephemeral_disk { migrate = false }
    network {
      port "x" { host_network = "default" }
    }
    volume "v" {
      type     = "host"
      source   = "data"
      sticky   = false
      per_alloc = false
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      resources { cores = 0 }
      restart { render_templates = false }
    }
  }
}
