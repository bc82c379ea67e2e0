job "file" {
  meta {
    motd   = chomp(file("motd.txt"))
    exists = fileexists("missing.txt")
    name   = basename("/a/b.txt")
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
