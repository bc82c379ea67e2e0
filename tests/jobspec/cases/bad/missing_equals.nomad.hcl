job "a" {
  type "batch"
  group "g" {}
}
