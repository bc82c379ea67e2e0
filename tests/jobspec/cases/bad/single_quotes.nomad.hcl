job 'a' {
  type = 'batch'
}
