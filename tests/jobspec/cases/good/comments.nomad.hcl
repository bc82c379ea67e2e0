# hash
// slashes
/* block
   of lines */
job "c" { # after
  group "g" { // after
    task "t" {
      /* before */ driver = "raw_exec" /* behind */
      config {
        command = "x" # done
        args = [
          "a", # first
          // second
          "b",
        ]
      }
    }
  }
}
