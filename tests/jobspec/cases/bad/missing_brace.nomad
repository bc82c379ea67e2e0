job "a"
  "datacenters" = ["dc1"]
  group "g" {
  }
