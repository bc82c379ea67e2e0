job "a" "b" {
  group "g" {}
}
