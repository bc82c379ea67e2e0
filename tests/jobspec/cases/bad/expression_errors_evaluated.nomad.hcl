job "a" {
  meta {
    a = 1 + "x"
    b = 1 / 0
    c = [1, 2][5]
    d = { a = 1 }.b
    e = upper(1, 2)
    f = uper("x")
    g = "${[1]}-"
    h = "x" ? 1 : 2
    i = !"nope"
    j = file("../secret", "x")
    k = [for x in 5 : x]
    l = { for x in ["a", "a"] : x => 1 }
    m = jsondecode("{")
    n = null
    o = format("%d", "x")
    p = max()
    q = cidrhost("10.0.0.0/8", -99999999)
    r = rsadecrypt("x", "y")
    s = range(1, 100000)
    u = parseint("zz", 10)
    v = base64decode("!!!")
    w = lookup({}, "a")
    x = formatdate("QQ", "2024-01-01T00:00:00Z")
    y = timeadd("yesterday", "1h")
    z = try(var.a, var.b)
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
