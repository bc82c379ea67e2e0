"""Blocks to structs: both shapes of a block, weak scalars, all problems at once, interpolation left alone."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.configblock import check, decode
from plugins.driver import ConfigError


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    size: int = 0

    def problems(self) -> list[tuple[str, str]]:
        return [("size", "must not be negative")] if self.size < 0 else []


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    unsupported_keys: ClassVar[dict[str, str]] = {"magic": "nobody has it"}

    image: str
    count: int = 1
    ratio: float = 0.5
    on: bool = False
    args: list[str] = []
    caps: tuple[str, ...] = ()
    one: Inner | None = None
    many: list[Inner] = []
    text: dict[str, str] = {}
    ports: dict[str, int] = {}
    maybe: list[str] | None = None


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"image": "a"}, {}),
        ([{"image": "a"}], {}),
        ({"image": "a", "count": "8", "ratio": 2, "on": "true"}, {"count": 8, "ratio": 2.0, "on": True}),
        ({"image": "a", "count": 3.0, "on": 1}, {"count": 3, "on": True}),
        ({"image": "a", "args": [1, True, 2.5, 4.0, "x"]}, {"args": ["1", "true", "2.5", "4", "x"]}),
        ({"image": "a", "caps": ["x"]}, {"caps": ("x",)}),
        ({"image": "a", "one": {"name": "n"}}, {"one": Inner(name="n")}),
        ({"image": "a", "one": [{"name": "n"}]}, {"one": Inner(name="n")}),
        ({"image": "a", "one": None}, {}),
        ({"image": "a", "many": {"name": "n"}}, {"many": [Inner(name="n")]}),
        (
            {"image": "a", "many": [{"name": "n"}, {"name": "m"}]},
            {"many": [Inner(name="n"), Inner(name="m")]},
        ),
        ({"image": "a", "ports": [{"db": 1}, {"web": "2"}]}, {"ports": {"db": 1, "web": 2}}),
        ({"image": "a", "text": {"a": 1, "b": False}}, {"text": {"a": "1", "b": "false"}}),
        ({"image": "a", "maybe": ["x"]}, {"maybe": ["x"]}),
    ],
)
def test_shapes_that_are_taken(block: Any, expected: dict[str, Any]) -> None:
    assert decode(Outer, block) == Outer(image="a", **expected)


@pytest.mark.parametrize(
    ("block", "problems"),
    [
        ({}, [("image", "is required and missing")]),
        ("x", [("", "expected a block, found a string")]),
        ([{"image": "a"}, {"image": "b"}], [("", "given 2 times; it may stand here once")]),
        ({"image": ["a"]}, [("image", "expected a string, found a list")]),
        ({"image": "a", "count": 1.5}, [("count", "expected a whole number, found 1.5")]),
        ({"image": "a", "count": True}, [("count", "expected a whole number, found True")]),
        ({"image": "a", "count": 2**70}, [("count", f"expected a whole number of 64 bits, found {2**70}")]),
        ({"image": "a", "ratio": "x"}, [("ratio", "expected a number, found 'x'")]),
        ({"image": "a", "on": "yes"}, [("on", "expected true or false, found 'yes'")]),
        ({"image": "a", "args": "x"}, [("args", "expected a list, found a string")]),
        ({"image": "a", "args": [["x"]]}, [("args[0]", "expected a string, found a list")]),
        ({"image": "a", "text": [1]}, [("text", "expected a map, found a number")]),
        ({"image": "a", "imge": 1}, [("imge", "unknown key; did you mean 'image'?")]),
        ({"image": "a", "magic": 1}, [("magic", "is not supported: nobody has it")]),
        ({"image": "a", "many": [{"name": "n", "size": -1}]}, [("many[0].size", "must not be negative")]),
        (
            {"cuont": 1, "many": [{"size": "x"}], "ports": {"db": []}},
            [
                ("cuont", "unknown key; did you mean 'count'?"),
                ("many[0].size", "expected a whole number, found 'x'"),
                ("many[0].name", "is required and missing"),
                ("ports.db", "expected a whole number, found a list"),
                ("image", "is required and missing"),
            ],
        ),
    ],
)
def test_all_problems_with_their_paths(block: Any, problems: list[tuple[str, str]]) -> None:
    with pytest.raises(ConfigError) as caught:
        decode(Outer, block)
    assert caught.value.problems == problems
    assert check(Outer, block) == problems


@pytest.mark.parametrize(
    "block",
    [
        {"image": "${meta.image}", "count": "${meta.n}", "on": "${meta.b}", "ratio": "a${x}"},
        {"image": "a", "args": "${split(x)}", "ports": {"db": "${NOMAD_PORT_db}"}},
        {"image": "a", "many": [{"name": "${a}", "size": "${b}"}]},
    ],
)
def test_interpolation_passes_at_submit_only(block: dict[str, Any]) -> None:
    assert check(Outer, block) == []
    with pytest.raises(ConfigError):
        decode(Outer, block)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["image", "count", "one", "many", "text", "name", "x"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(_VALUES)
def test_whatever_comes_is_read_or_refused(block: Any) -> None:
    try:
        found = decode(Outer, block)
    except ConfigError as error:
        assert error.problems
    else:
        assert isinstance(found, Outer)


def test_deep_nesting_is_refused_not_crashed_on() -> None:
    block: Any = "x"
    for _ in range(5000):
        block = [block]
    assert check(Outer, {"image": block})
    assert check(Outer, {"image": "a", "args": [block]})
