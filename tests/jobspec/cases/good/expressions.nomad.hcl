locals {
  list = [3, 1, 2]
  map  = { b = 2, a = 1 }
  objs = [{ n = "x", v = 1 }, { n = "y", v = 2 }]
}
job "expr" {
  priority = 10 + 2 * 20
  meta {
    arithmetic = 10 - 3 - 2
    modulo     = 17 % 5
    division   = 7 / 2
    negative   = -(2 + 3)
    compare    = 2 > 1 && !(1 == 2) || false
    decimal    = 0.1 + 0.2
    nested     = true ? false ? "a" : "b" : "c"
    splat      = join(",", local.objs[*].n)
    legacy     = join(",", local.objs.*.n)
    index      = local.list[1]
    key        = local.map["b"]
    for_list   = join(",", [for x in local.list : x * 10 if x != 1])
    for_index  = join(",", [for i, x in local.list : "${i}=${x}"])
    for_map    = jsonencode({ for k, v in local.map : upper(k) => v + 1 })
    grouped    = jsonencode({ for o in local.objs : o.v > 0 ? "pos" : "neg" => o.n... })
    tried      = try(local.nothing.here, "fallback")
    can        = can(local.map.zzz)
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "x" }
    }
  }
}
