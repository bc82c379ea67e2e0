job "wishes" {
  affinity {
    value  = "true"
    weight = 101
  }
  affinity {
    attribute = "${meta.ssd}"
    operator  = "is_set"
    weight    = 0
  }
  affinity {
    attribute = "${meta.ssd}"
    regexp    = "("
  }
  spread {
    attribute = "rack"
    weight    = 0
  }
  group "g" {
    spread {
      attribute = "${meta.rack}"
      target "a" {
        percent = 70
      }
      target "a" {
        percent = 40
      }
      target "b" {
        percent = -1
      }
      target {
        percent = 1
      }
    }
    task "t" {
      driver = "mock_driver"
      affinity {
        distinct_hosts = true
      }
      spread {
        attribute = "${meta.rack}"
      }
    }
  }
}
