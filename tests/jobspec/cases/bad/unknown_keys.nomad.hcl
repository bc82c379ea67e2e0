job "a" {
  datacenter = ["dc1"]
  prioritty  = 3
  frobnicate = true
  gruop "g" {}
  group "g" {
    cout = 2
    network {
      prot "http" {}
      port "x" { statik = 1 }
    }
    task "t" {
      drivr  = "raw_exec"
      driver = "raw_exec"
      config { command = "x" }
      resources { mem = 5 }
      restart { attemps = 1 }
    }
  }
}
