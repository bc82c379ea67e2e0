# The fleet on which the plans beside this file were made: eight machines in three racks and two datacenters, one
# of them large. They have all that the examples in contrib/ ask for.
machine "worker" {
  count  = 6
  cpu    = 4000
  memory = 8192
  disk   = 50000

  drivers = ["raw_exec", "exec", "docker", "mock_driver"]

  host_volume "data" {}
  host_volume "certs" {
    read_only = true
  }

  across "meta.rack" {
    values = ["r1", "r2", "r3"]
  }
}

machine "large" {
  count      = 2
  cpu        = 32000
  memory     = 131072
  node_class = "large"

  drivers = ["raw_exec", "exec", "docker", "mock_driver"]

  across "datacenter" {
    values = ["dc1", "dc2"]
  }

  meta {
    rack = "r1"
  }
}
