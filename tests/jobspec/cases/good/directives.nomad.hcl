locals { names = ["a", "b"] }
job "dir" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      env {
        LIST = "%{ for n in local.names }[${n}]%{ endfor }"
        IF   = "%{ if length(local.names) > 1 }many%{ else }one%{ endif }"
        FILE = <<-EOT
          %{ for i, n in local.names ~}
          server ${i} ${n}
          %{ endfor ~}
          end
        EOT
      }
    }
  }
}
