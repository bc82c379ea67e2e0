# all that a host volume may be asked for
job "v" {
  group "g" {
    count = 2
    volume "own" {
      type      = "host"
      source    = "data"
      per_alloc = true
    }
    volume "kept" {
      source          = "kept"
      sticky          = true
      access_mode     = "single-node-single-writer"
      attachment_mode = "file-system"
    }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
