job "esc" {
  meta {
    newline = "a\nb"
    tab     = "a\tb"
    quote   = "say \"hi\""
    slash   = "back\\slash"
    unicode = "\u00e9\U0001F600"
    utf8    = "größe"
    hash    = "no # comment // here /* or here */"
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
