job "a" {
  "name" = "one\ntwo"
}
