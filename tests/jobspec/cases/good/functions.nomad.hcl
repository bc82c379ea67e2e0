job "fn" {
  meta {
    a = format("%s-%03d-%q", "x", 7, "y")
    b = join("/", split(",", "a,b,c"))
    c = base64encode("hello")
    d = sha256("x")
    e = cidrhost("10.0.0.0/24", 5)
    f = jsonencode(merge({ a = 1 }, { b = [true, null] }))
    g = formatdate("YYYY-MM-DD", timeadd("2024-02-28T00:00:00Z", "48h"))
    h = trimspace(regex_replace("  web-01 ", "web-(\\d+)", "$1"))
    i = length(setproduct(["a", "b"], [1, 2, 3]))
    j = yamldecode("a: [1, 2]").a[1]
    k = lookup({ a = "1" }, "b", "none")
    l = coalesce("", "x")
    m = uuidv5("dns", "example.com")
    n = element(["a", "b"], 3)
    o = title("hello world")
    p = convert("5", number) + 1
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
