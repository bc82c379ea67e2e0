job "rt" {
  group "g" {
    network {
      port "http" {}
    }
    task "t" {
      driver = "docker"
      user   = "${meta.user}"
      config {
        image = "x:${attr.cpu.arch}"
        args = [
          "${NOMAD_PORT_http}", "$${literal}", "%%{literal}", NOMAD_ALLOC_ID,
          "${env["HOME"]}", "${node.unique.name}-${meta.rack}", attr.kernel.name,
        ]
      }
      env {
        ADDR  = "${NOMAD_ADDR_http}"
        MIXED = "${upper("x")}-${NOMAD_TASK_NAME}"
      }
    }
  }
}
