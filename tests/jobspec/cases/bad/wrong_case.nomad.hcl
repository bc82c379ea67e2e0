job "a" {
  Type = "batch"
  Group "g" {}
}
