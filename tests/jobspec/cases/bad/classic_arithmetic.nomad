job "a" {
  "priority" = 2 * 3 + 1
}
