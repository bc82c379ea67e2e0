# Twelve machines in three racks, and a kind that we could buy.
#
#   encamp simulate -fleet contrib/simulate/fleet.hcl contrib/simulate/shop.hcl
#   encamp simulate -fleet contrib/simulate/fleet.hcl -lose meta.rack=r2 contrib/simulate/shop.hcl
machine "small" {
  count  = 12
  cpu    = 4000  # MHz
  memory = 8192  # MB
  disk   = 50000 # MB

  across "meta.rack" {
    values = ["r1", "r2", "r3"]
  }
}

machine "large" {
  count      = 0
  node_class = "large"
  cpu        = 16000
  memory     = 65536
}
