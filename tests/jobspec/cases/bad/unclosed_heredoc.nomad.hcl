job "a" {
  meta {
    x = <<EOT
text
  EOT oops
  }
}
