job "everywhere" {
  type = "system"
  group "g" {
    affinity {
      attribute = "${meta.ssd}"
      value     = "true"
    }
    spread {
      attribute = "${meta.rack}"
    }
    task "t" {
      driver = "mock_driver"
    }
  }
}
