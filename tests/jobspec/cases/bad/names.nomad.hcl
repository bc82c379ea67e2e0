job "my job" {
  region    = ""
  node_pool = ""
  datacenters = ["dc1", ""]
  group "" {
    task "alloc" {
      driver = "raw_exec"
      config { command = "x" }
    }
    task "a/b" {
      driver = "raw_exec"
      config { command = "x" }
    }
    task ".." {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
