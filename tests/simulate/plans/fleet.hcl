# The fleet on which the plans beside this file were made: six workers in three racks and two large machines in two
# datacenters. No two are of one size, so that no score is a tie and the plans do not depend on how ties are settled.
# They have all that the examples in contrib/ ask for.

machine "worker-1" {
  cpu    = 4000
  memory = 8192

  drivers = ["raw_exec", "exec", "docker", "mock_driver"]

  host_volume "data" {}
  host_volume "certs" {
    read_only = true
  }

  meta {
    rack = "r1"
  }
}

machine "worker-2" {
  cpu    = 4400
  memory = 7800

  drivers = ["raw_exec", "exec", "docker", "mock_driver"]

  host_volume "data" {}
  host_volume "certs" {
    read_only = true
  }

  meta {
    rack = "r2"
  }
}

machine "worker-3" {
  cpu    = 4900
  memory = 9100

  drivers = ["raw_exec", "exec", "docker", "mock_driver"]

  host_volume "data" {}
  host_volume "certs" {
    read_only = true
  }

  meta {
    rack = "r3"
  }
}

machine "worker-4" {
  cpu    = 5300
  memory = 8700

  drivers = ["raw_exec", "exec", "docker", "mock_driver"]

  host_volume "data" {}
  host_volume "certs" {
    read_only = true
  }

  meta {
    rack = "r1"
  }
}

machine "worker-5" {
  cpu    = 5800
  memory = 9900

  drivers = ["raw_exec", "exec", "docker", "mock_driver"]

  host_volume "data" {}
  host_volume "certs" {
    read_only = true
  }

  meta {
    rack = "r2"
  }
}

machine "worker-6" {
  cpu    = 6200
  memory = 10400

  drivers = ["raw_exec", "exec", "docker", "mock_driver"]

  host_volume "data" {}
  host_volume "certs" {
    read_only = true
  }

  meta {
    rack = "r3"
  }
}

machine "large-1" {
  cpu        = 32000
  memory     = 131072
  datacenter = "dc1"
  node_class = "large"

  drivers = ["raw_exec", "exec", "docker", "mock_driver"]

  meta {
    rack = "r1"
  }
}

machine "large-2" {
  cpu        = 34000
  memory     = 120000
  datacenter = "dc2"
  node_class = "large"

  drivers = ["raw_exec", "exec", "docker", "mock_driver"]

  meta {
    rack = "r1"
  }
}
