job "wishes" {
  affinity {
    attribute = "${meta.ssd}"
    value     = "true"
    weight    = 75
  }
  spread {
    attribute = "${node.datacenter}"
  }
  group "g" {
    count = 10
    affinity {
      attribute        = "${meta.zones}"
      set_contains_any = "a,b"
      weight           = -20
    }
    spread {
      attribute = "${meta.rack}"
      weight    = 80
      target "r1" {
        percent = 70
      }
      target "r2" {
        percent = 30
      }
    }
    task "t" {
      driver = "mock_driver"
      affinity {
        attribute = "${attr.kernel.version}"
        version   = ">= 5.4"
      }
    }
  }
}
