# test: hcl1
job "a" {
  meta {
    text = <<EOT
this is not the end, myEOT
EOT
  }
}
