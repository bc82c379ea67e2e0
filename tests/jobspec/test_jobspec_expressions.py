"""Expressions and what they give, or say."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.jobspec.diagnostics import DiagnosticError
from daemon.jobspec.hcl.build import read_expression
from daemon.jobspec.hcl.evaluate import Scope, evaluate
from daemon.jobspec.hcl.functions.registry import REGISTRY, load_all
from daemon.jobspec.source import Source

NAMES = {
    "var": {
        "list": [1, 2, 3],
        "map": {"a": 1, "b": 2},
        "text": "hello",
        "null": None,
        "deep": {"x": [{"y": "z"}]},
    },
    "local": {"n": 5},
}


def value_of(text: str) -> Any:
    source = Source("x.hcl", text)
    return evaluate(read_expression(source, 0, len(text)), Scope(NAMES))


def message_of(text: str) -> str:
    with pytest.raises(DiagnosticError) as caught:
        value_of(text)
    return caught.value.diagnostics[0].summary


VALUES: list[tuple[str, Any]] = [
    # literals and operators
    ("1", 1),
    ("1.5", 1.5),
    ("1e3", 1000),
    ("-1", -1),
    ("true", True),
    ("null", None),
    ('"x"', "x"),
    ("2 * 3 + 1", 7),
    ("10 - 3 - 2", 5),
    ("2 + 3 * 4", 14),
    ("(2 + 3) * 4", 20),
    ("7 / 2", 3.5),
    ("6 / 2", 3),
    ("-7 % 3", -1),
    ("0.1 + 0.2", 0.3),
    ("1 -2", -1),
    ("5-2", 3),
    ('"2" + 3', 5),
    ("1 < 2", True),
    ("2 <= 1", False),
    ("1 == 1.0", True),
    ('1 == "1"', False),
    ("true == 1", False),
    ("[1, 2] == [1, 2]", True),
    ("{ a = 1 } != { a = 2 }", True),
    ("!false", True),
    ("true && false || true", True),
    ("false && 1 / 0 == 1", False),
    ('true ? "a" : 1 / 0', "a"),
    ("false ? 1 : true ? 2 : 3", 2),
    # references
    ("var.list", [1, 2, 3]),
    ("var.list[0]", 1),
    ("var.list.1", 2),
    ('var.map["b"]', 2),
    ("var.map.a", 1),
    ("var.deep.x[0].y", "z"),
    ("var.deep.x[*].y", ["z"]),
    ("var.deep.x.*.y", ["z"]),
    ("var.text[*]", ["hello"]),
    ("var.null[*]", []),
    ("var.list[local.n - 4]", 2),
    ("attr.kernel.name", "${attr.kernel.name}"),
    ('env["HOME"]', '${env["HOME"]}'),
    ("NOMAD_PORT_http", "${NOMAD_PORT_http}"),
    ('"${attr.x}-${var.text}"', "${attr.x}-hello"),
    ("upper(meta.x)", "${META.X}"),
    # templates
    ('"${var.list}"', [1, 2, 3]),
    ('"a${1 + 1}b"', "a2b"),
    ('"$${x} %%{y} $ % $$"', "${x} %{y} $ % $$"),
    ('"%{ if local.n > 3 }big%{ else }small%{ endif }"', "big"),
    ('"%{ if false }x%{ endif }"', ""),
    ('"%{ for x in var.list }${x};%{ endfor }"', "1;2;3;"),
    ('"%{ for k, v in var.map }${k}${v}%{ endfor }"', "a1b2"),
    ('"a  %{~ if true ~}  b  %{~ endif ~}  c"', "abc"),
    ('"${"nested ${"deep"}"}"', "nested deep"),
    (r'"\n\t\"\\\u00e9"', '\n\t"\\é'),
    # collections and for
    ("[]", []),
    ("[1, 2,]", [1, 2]),
    ("{}", {}),
    ('{ a = 1, "b" : 2, (var.text) = 3 }', {"a": 1, "b": 2, "hello": 3}),
    ("[for x in var.list : x * x]", [1, 4, 9]),
    ("[for x in var.list : x if x != 2]", [1, 3]),
    ("[for i, x in var.list : i + x]", [1, 3, 5]),
    ("[for k, v in var.map : k]", ["a", "b"]),
    ("{for k, v in var.map : v => k...}", {"1": ["a"], "2": ["b"]}),
    ("{for x in var.list : x => x if x > 1}", {"2": 2, "3": 3}),
    # functions, in the order of the manual
    ("abs(-3)", 3),
    ("ceil(1.2)", 2),
    ("floor(-1.2)", -2),
    ("log(8, 2)", 3),
    ("max(1, 3, 2)", 3),
    ("min([3, 1, 2]...)", 1),
    ("pow(2, 10)", 1024),
    ("signum(-9)", -1),
    ('parseint("ff", 16)', 255),
    ("range(3)", [0, 1, 2]),
    ("range(1, 4)", [1, 2, 3]),
    ("range(4, 0, -2)", [4, 2]),
    ('chomp("x\\n")', "x"),
    (
        'format("%s %5.2f %-4d| %04d %x %t %q %v %%", "a", 1.5, 7, 42, 255, true, "q", [1])',
        'a  1.50 7   | 0042 ff true "q" [1] %',
    ),
    ('format("%[2]s %[1]s", "a", "b")', "b a"),
    ('formatlist("%s-%s", ["a", "b"], "x")', ["a-x", "b-x"]),
    ('indent(2, "a\\nb")', "a\n  b"),
    ('join("-", ["a", "b"], ["c"])', "a-b-c"),
    ('lower("AbC")', "abc"),
    ('regex_replace("a1b2", "([0-9])", "<$1>")', "a<1>b<2>"),
    ('replace("aXbX", "X", "")', "ab"),
    ('split(",", "a,b,")', ["a", "b", ""]),
    ('strlen("größe")', 5),
    ('strrev("abc")', "cba"),
    ("strrev([1, 2])", [2, 1]),
    ('substr("hello", 1, 3)', "ell"),
    ('substr("hello", -3, -1)', "llo"),
    ('title("hello big world")', "Hello Big World"),
    ('trim("?!x?", "!?")', "x"),
    ('trimprefix("xyz", "x")', "yz"),
    ('trimsuffix("xyz", "z")', "xy"),
    ('trimspace("  x\\n")', "x"),
    ('upper("x")', "X"),
    ("chunklist([1, 2, 3], 2)", [[1, 2], [3]]),
    ('coalesce(null, "", "x")', "x"),
    ("coalescelist([], [1])", [1]),
    ('compact(["a", "", null, "b"])', ["a", "b"]),
    ("concat([1], [2, 3])", [1, 2, 3]),
    ("contains(var.list, 2)", True),
    ('contains(var.list, "2")', False),
    ("distinct([1, 1, 2, true])", [1, 2, True]),
    ("element([1, 2, 3], 4)", 2),
    ("flatten([[1, [2]], [], 3])", [1, 2, 3]),
    ("index([5, 6], 6)", 1),
    ("keys({ b = 1, a = 2 })", ["a", "b"]),
    ("values({ b = 1, a = 2 })", [2, 1]),
    ("length(var.map)", 2),
    ('length("abc")', 3),
    ('lookup(var.map, "z", 9)', 9),
    ("merge({ a = 1 }, null, { a = 2, b = 3 })", {"a": 2, "b": 3}),
    ("reverse([1, 2])", [2, 1]),
    ('setintersection(["b", "a"], ["a", "b", "c"])', ["a", "b"]),
    ('setproduct(["a"], [1, 2])', [["a", 1], ["a", 2]]),
    ('setunion(["b"], ["a", "b"])', ["a", "b"]),
    ("slice([1, 2, 3], 1, 3)", [2, 3]),
    ('sort(["b", "a"])', ["a", "b"]),
    ('zipmap(["a", "b"], [1, 2])', {"a": 1, "b": 2}),
    ('base64encode("hi")', "aGk="),
    ('base64decode("aGk=")', "hi"),
    ('csvdecode("a,b\\n1,2\\n3,4\\n")', [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
    ("jsonencode({ b = [1, null], a = true })", '{"a":true,"b":[1,null]}'),
    ('jsondecode("{\\"a\\": [1, 2.5]}").a', [1, 2.5]),
    ("yamlencode({ a = [1] })", "a:\n- 1\n"),
    ('yamldecode("a: {b: [x, 1]}").a.b', ["x", 1]),
    ('urlencode("a b&c")', "a+b%26c"),
    ('md5("x")', "9dd4e461268c8034f5c8564e155c67a6"),
    ('sha1("x")', "11f6ad8ec52a2984abaafd7c3b516503785c2072"),
    ('substr(sha256("x"), 0, 8)', "2d711642"),
    ('strlen(sha512("x"))', 128),
    ('strlen(bcrypt("x", 4))', 60),
    ("strlen(uuidv4())", 36),
    ('uuidv5("dns", "example.com")', "cfbff0d1-9375-5685-968c-48ce8b15ae17"),
    ('cidrhost("10.12.112.0/20", 16)', "10.12.112.16"),
    ('cidrhost("fd00:fd12:3456:7890::/56", 34)', "fd00:fd12:3456:7800::22"),
    ('cidrnetmask("172.16.0.0/12")', "255.240.0.0"),
    ('cidrsubnet("172.16.0.0/12", 4, 2)', "172.18.0.0/16"),
    ('cidrsubnets("10.1.0.0/16", 4, 4, 8)', ["10.1.0.0/20", "10.1.16.0/20", "10.1.32.0/24"]),
    ('formatdate("DD MMM YYYY hh:mm ZZZ", "2018-01-02T23:12:01Z")', "02 Jan 2018 23:12 UTC"),
    ('formatdate("EEEE, h\'h\' AA", "2018-01-02T23:12:01-08:00")', "Tuesday, 23h PM"),
    ('timeadd("2017-11-22T00:00:00Z", "10m")', "2017-11-22T00:10:00Z"),
    ("try(var.nope, 1)", 1),
    ("can(var.nope)", False),
    ("can(var.text)", True),
    ('convert("5", number)', 5),
    ('convert(["1", 2], list(string))', ["1", "2"]),
    ('convert(["b", "a", "b"], set(string))', ["a", "b"]),
    ('convert({ a = "1" }, object({ a = number, b = optional(string) }))', {"a": 1, "b": None}),
    ('convert([1, "2"], tuple([string, number]))', ["1", 2]),
]


@pytest.mark.parametrize(("text", "wanted"), VALUES, ids=[text for text, _ in VALUES])
def test_value(text: str, wanted: Any) -> None:
    found = value_of(text)
    assert found == wanted
    assert type(found) is type(wanted) or isinstance(wanted, float)


MESSAGES = [
    ("1 / 0", "division by zero"),
    ('1 + "x"', "a number is needed, not the text 'x'"),
    ("!1", "true or false is needed, not a number"),
    ("null + 1", "a number is needed, not null"),
    ("var.nope", 'no variable named "nope" is declared'),
    ("var.list[9]", "there is no element 9 in a list of 3"),
    ("var.list[-1]", "there is no element -1 in a list of 3"),
    ("var.list[0.5]", "a whole number is needed, not 0.5"),
    ("var.text.x", 'a string has no attribute "x"'),
    ('"${null}x"', "in a template a string is needed, not null"),
    ("[for x in 1 : x]", "a list or an object is needed here, not a number"),
    ('{for x in ["a", "a"] : x => 1}', 'two elements have the key "a"'),
    ("nope()", 'there is no function "nope"'),
    ("upper()", "upper takes 1 argument, not 0"),
    ("substr(1)", "substr takes 3 arguments, not 1"),
    ("upper(null)", "upper, argument 1: null is not allowed"),
    ("upper([1])", "upper, argument 1: a string is needed, not a list"),
    ("min([]...)", "min takes at least 1 argument, not 0"),
    ('upper("x"...)', "only a list can be expanded with ..."),
    ('file("/etc/hostname")', "the function file reads files, which is not allowed here"),
    ('format("%s")', "format: there is no argument for %s"),
    ('format("x", 1)', "format: 1 arguments are given, 0 are used"),
    ('format("%99999d", 1)', "format: the width is too large"),
    ("range(0, 10, -1)", "range: the step does not lead from start to end"),
    ("pow(10, 100000)", "the result is too large"),
    ('cidrsubnet("10.0.0.0/30", 4, 1)', "cidrsubnet: 10.0.0.0/30 cannot be extended by 4 bits"),
    ('convert("x", number)', "convert: a number is needed, not the text 'x'"),
    ("convert({}, object({ a = string }))", 'convert: the attribute "a" is missing'),
    (
        "setproduct(range(1000), range(1000))",
        "setproduct: the product has 1000000 elements, more than 100000",
    ),
    ("", "an expression is missing here"),
    ("1 +", "this expression is incomplete"),
    ("a b", "unexpected 'b'"),
]


@pytest.mark.parametrize(("text", "wanted"), MESSAGES, ids=[text for text, _ in MESSAGES])
def test_message(text: str, wanted: str) -> None:
    assert wanted in message_of(text)


def test_every_function_of_the_manual_is_there() -> None:
    listed = """abs abspath base64decode base64encode basename bcrypt can ceil chomp chunklist cidrhost cidrnetmask
    cidrsubnet cidrsubnets coalesce coalescelist compact concat contains convert csvdecode dirname distinct element
    file filebase64 fileexists fileset flatten floor format formatdate formatlist indent index join jsondecode
    jsonencode keys length log lookup lower max md5 merge min parseint pathexpand pow range regex_replace replace
    reverse rsadecrypt setintersection setproduct setunion sha1 sha256 sha512 signum slice sort split strlen strrev
    substr timeadd title trim trimprefix trimspace trimsuffix try upper urlencode uuidv4 uuidv5 values yamldecode
    yamlencode zipmap""".split()
    load_all()
    assert set(listed) - set(REGISTRY) == {"try", "can", "convert", "rsadecrypt"}


def test_long_chains_cost_no_depth() -> None:
    assert value_of(" + ".join(["1"] * 2000)) == 2000
    assert value_of('"' + "${1}" * 2000 + '"') == "1" * 2000


@pytest.mark.parametrize(
    "text",
    [
        "(" * 500 + "1" + ")" * 500,
        "[" * 500 + "]" * 500,
        "true ? 1 : " * 500 + "2",
        "!" * 500 + "true",
        "a" + ".b" * 5000,
        '"${' * 200 + "1" + '}"' * 200,
        "f(" * 200 + ")" * 200,
    ],
    ids=["parens", "lists", "conditionals", "nots", "attributes", "templates", "calls"],
)
def test_deep_nesting_is_an_error_or_a_value(text: str) -> None:
    try:
        value_of(text)
    except DiagnosticError as failure:
        assert failure.diagnostics


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    text = "yamldecode(<<EOT\n" + "\n".join(lines) + "\nEOT\n)"
    assert "too large" in message_of(text)


def test_a_template_cannot_eat_the_memory() -> None:
    loops = "".join(f"%{{ for x{n} in range(1000) }}" for n in range(4))
    assert "too" in message_of('"' + loops + "x" + "%{ endfor }" * 4 + '"')
