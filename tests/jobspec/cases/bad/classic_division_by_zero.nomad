# test: hcl1
job "a" {
  priority = 1 / 0
}
