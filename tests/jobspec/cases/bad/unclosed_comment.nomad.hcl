job "a" {
  /* group "g" {
  }
}
