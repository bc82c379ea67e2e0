job "a" {
  affinity {
    attribute = "${node.class}"
    value     = "x"
  }
  spread { attribute = "${node.datacenter}" }
  vault { role = "x" }

  multiregion {}
  ui {}
  group "g" {

    service { name = "x" }
    # what no group may ask for yet
    consul {}
    # and its tasks
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      template {
        data        = "x"
        destination = "y"
      }
      artifact { source = "http://x" }
      service {}
      identity {}
      action "x" { command = "y" }
      csi_plugin {}
      schedule {}
      secret "s" {}
      resources {
        cores = 2
        device "nvidia/gpu" {}
        numa {}
      }
    }
  }
}
