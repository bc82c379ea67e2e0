job "a" {
  meta { path = "C:\dir" }
}
