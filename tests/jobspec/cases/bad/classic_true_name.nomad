# test: hcl1
job "a" {
  true_count = 1
}
