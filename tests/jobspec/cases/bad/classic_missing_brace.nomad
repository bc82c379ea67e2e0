# test: hcl1
job "a"
  group "g" {
    count = 1
  }
