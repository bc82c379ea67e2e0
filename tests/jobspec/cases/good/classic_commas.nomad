job "commas" {
  datacenters = ["dc1", "dc2",],
  group "g" {
    count = 2, 
    task "t" {
      driver = "docker"
      config { image = "x:1", command = "run" }
      resources { cpu = 0x64, memory = 128 }
    }
  }
}
