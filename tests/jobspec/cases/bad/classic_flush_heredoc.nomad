job "a" {
  "name" = <<-EOT
    x
  EOT
}
