job "a" {
  type == "batch"
}
