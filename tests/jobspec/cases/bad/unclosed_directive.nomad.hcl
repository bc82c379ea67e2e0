job "a" {
  meta {
    t = "%{ if true }x"
  }
}
