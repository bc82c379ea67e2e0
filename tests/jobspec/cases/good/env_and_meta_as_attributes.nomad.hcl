job "attrs" {
  meta = {
    "a.b" = "x"
    n     = 1
  }
  group "g" {
    meta = { level = "group" }
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
      env = {
        "spring.profile" = "prod"
        "FLAG"           = true
      }
    }
  }
}
