# test: hcl1
job "a" {
  type = batch
}
