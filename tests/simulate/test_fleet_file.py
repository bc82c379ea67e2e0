"""Fleet files: kinds of machines in, nodes out; every mistake has its place."""

from __future__ import annotations

import pytest

from daemon.model.errors import InvalidInput
from daemon.simulate.fleet_file import read_fleet
from daemon.simulate.kinds import kinds_of
from daemon.simulate.selection import selected, target_of
from tests.simulate.simkit import FLEET, kinds_in

TWO_DEALS = """
machine "m" {
  count  = 6
  cpu    = 4000
  memory = 8192
  max_allocs = 3
  drivers = ["exec"]
  meta { team = "a" }
  attributes { "cpu.arch" = "arm64" }
  reserved { cpu = 500 }
  host_volume "data" { read_only = true }
  across "datacenter" { values = ["dc1", "dc2"] }
  across "meta.rack" { values = ["r1", "r2", "r3"] }
}
"""


def test_a_machine_is_a_node_with_all_that_was_said() -> None:
    [kind] = kinds_in(TWO_DEALS)
    node = kind.machine(0)
    assert (node.name, node.datacenter, node.meta) == ("m-01", "dc1", {"team": "a", "rack": "r1"})
    assert node.attributes["cpu.arch"] == "arm64" and node.attributes["kernel.name"] == "linux"
    assert node.node_max_allocs == 3 and node.reserved.cpu_shares == 500
    assert list(node.drivers) == ["exec"] and node.host_volumes["data"].read_only
    assert node.ready


def test_values_are_dealt_in_all_combinations_the_first_fastest() -> None:
    [kind] = kinds_in(TWO_DEALS)
    places = [(node.datacenter, node.meta["rack"]) for node in kind.machines(0, 6)]
    assert places == [
        ("dc1", "r1"),
        ("dc2", "r1"),
        ("dc1", "r2"),
        ("dc2", "r2"),
        ("dc1", "r3"),
        ("dc2", "r3"),
    ]


def test_machine_n_is_always_the_same_node() -> None:
    [one], [other] = kinds_in(TWO_DEALS), kinds_in(TWO_DEALS)
    assert one.machines(3, 3) == other.machines(0, 6)[3:]
    assert len({node.id for node in one.machines(0, 1000)}) == 1000


def test_json_says_the_same() -> None:
    text = b'{"machine": {"m": {"cpu": 100, "memory": 200, "across": {"meta.rack": {"values": ["a"]}}}}}'
    found = read_fleet(text, "fleet.json")
    assert not found.diagnostics
    node = found.kinds[0].machine(0)
    assert node.node_resources.cpu_shares == 100 and node.meta == {"rack": "a"}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('machine "m" {\n  cpu = 1\n}', "1:1", 'lacks "memory"'),
        ('machine "m" {\n  cpu = 0\n  memory = 1\n}', "2:9", '"cpu" is 0'),
        ('machine "m" {\n  cpu = 1\n  memory = 1\n  count = -1\n}', "4:11", '"count" is -1'),
        ('machine "m" {\n  cpu = 1\n  memory = 1\n  cuont = 1\n}', "4:3", 'did you mean "count"?'),
        ('machine "m" {\n  cpu = "x"\n  memory = 1\n}', "2:9", '"cpu"'),
        (
            'machine "m" {\n  cpu = 1\n  memory = 1\n}\nmachine "m" {\n  cpu = 1\n  memory = 1\n}',
            "5:9",
            "twice",
        ),
        (
            'machine "m" {\n  cpu = 1\n  memory = 1\n  across "rack" {\n    values = ["a"]\n  }\n}',
            "4:10",
            "across",
        ),
        ('machine "m" {\n  cpu = 1\n  memory = 1\n  across "meta.rack" {\n  }\n}', "4:3", "has no values"),
        ('machine "m" {\n  cpu = 1\n  memory = 1\n  max_dynamic_port = 70000\n}', "4:22", "70000"),
        ('machine "m m" {\n  cpu = 1\n  memory = 1\n}', "1:9", "cannot be the name"),
        ('machine "m" {\n  cpu = 1\n  memory = 1\n  count = 200000\n}', "1:1", "more than 100000"),
        ("", "1:1", "no machines"),
        ('machine "m" {', "1:13", "never closed"),
    ],
)
def test_mistakes_have_a_place(text: str, place: str, words: str) -> None:
    found = read_fleet(text.encode(), "fleet.hcl")
    assert not found.kinds
    assert any(
        str(each.range) == f"fleet.hcl:{place}" and words in f"{each.summary} {each.suggestion}"
        for each in found.diagnostics
    ), [str(each) for each in found.diagnostics]


def test_all_mistakes_are_said_at_once() -> None:
    found = read_fleet(b'machine "a" {\n  cpu = 1\n}\nmachine "b" {\n  memory = 1\n}', "fleet.hcl")
    assert [str(each.range) for each in found.diagnostics] == ["fleet.hcl:1:1", "fleet.hcl:4:1"]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\x00", b"[1]", b'{"machine": 3}', b'{"machine": {"m": []}}'])
def test_rubbish_is_refused_not_fatal(data: bytes) -> None:
    found = read_fleet(data, "fleet")
    assert not found.kinds and found.diagnostics


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("meta.rack=r1", ["small-01", "small-04"]),
        ("${meta.rack}=r1", ["small-01", "small-04"]),
        ("datacenter=dc1", [f"small-{n:02d}" for n in range(1, 7)]),
        ("attr.unique.hostname=small-03", ["small-03"]),
        ("small-02", ["small-02"]),
    ],
)
def test_selection_finds_nodes(text: str, names: list[str]) -> None:
    [kind] = kinds_in(FLEET)
    assert [node.name for node in selected(kind.machines(0, 6), text)] == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("meta.rack=r9", "it is one of r1, r2, r3"),
        ("meta.rak=r1", "no node has meta.rak"),
        ("rack=r1", 'there is no "rack"'),
        ("smal-02", 'did you mean "small-02"?'),
    ],
)
def test_selection_says_what_there_is(text: str, words: str) -> None:
    [kind] = kinds_in(FLEET)
    with pytest.raises(InvalidInput, match=words.replace("?", r"\?")):
        selected(kind.machines(0, 6), text)


def test_other_spellings_of_targets() -> None:
    assert [target_of(word) for word in ("class", "dc", "${node.datacenter}", "meta.x")] == [
        "node_class", "datacenter", "datacenter", "meta.x",
    ]  # fmt: skip


def test_kinds_of_a_cluster_are_told_apart_by_room_not_by_rack() -> None:
    [small] = kinds_in(FLEET)
    [big] = kinds_in('machine "big" {\n  cpu = 9000\n  memory = 9000\n}')
    found = kinds_of([*small.machines(0, 6), *big.machines(0, 1)], 8)
    assert [kind.template.node_resources.cpu_shares for kind in found] == [1000, 9000]
