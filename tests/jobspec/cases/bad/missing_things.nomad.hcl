job "a" {
  group "empty" {}
  group "g" {
    volume "v" {}
    task "t" {
      volume_mount {}
      lifecycle {}
      dispatch_payload {}
      constraint {}
    }
  }
}
