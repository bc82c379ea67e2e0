job "label" {
  id        = "the-id"
  name      = "The Name"
  region    = "eu"
  namespace = "team"
  node_pool = "gpu"
  all_at_once = true
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
