job "a" {
  name = "café"
}
