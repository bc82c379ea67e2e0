job "a" {
  type = batch
  group "g" {
    count = many
    task "t" {
      driver = docker
      config { image = "x" }
    }
  }
}
