job "a" {
  # what no job may ask for yet
  group "g" {
    network {
      mode     = "bridge"
      hostname = "h"
      dns { servers = ["1.1.1.1"] }
      port "x" { host_network = "public" }
    }
    volume "v" {
      type            = "csi"
      source          = "s"
      per_alloc       = true
      access_mode     = "single-node-writer"
      attachment_mode = "file-system"
      mount_options { fs_type = "ext4" }
    }
    ephemeral_disk { migrate = true }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      restart { render_templates = true }
      volume_mount {
        volume        = "v"
        destination   = "/v"
        selinux_label = "z"
      }
      kind = "connect-proxy"
      logs { enabled = false }
    }
  }
}
