"""Tables, times and sizes, as tables of cases."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli.text import Styled, age, clean, iso, many, pairs, size, span, table
from tests.cli.made import NOW_NS, S


def test_table_aligns_and_fills_empty_cells() -> None:
    lines = table(("ID", "Name"), [("a", ""), ("longer", "x")])
    assert lines == ["ID      Name", "a       <none>", "longer  x"]


def test_colours_do_not_move_columns() -> None:
    rows = [(Styled("running", "green"), "x"), ("dead", "y")]
    plain = table(("Status", "N"), rows)
    coloured = table(("Status", "N"), rows, color=True)
    assert coloured[1] == plain[1].replace("running", "\x1b[32mrunning\x1b[0m")
    assert coloured[2] == plain[2]


def test_pairs_line_up() -> None:
    assert pairs([("ID", "x"), ("Priority", "50"), ("Empty", "")]) == [
        "ID       = x",
        "Priority = 50",
        "Empty    = <none>",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (65, "1m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (3599, "59m"),
        (3600, "1h"),
        (3660, "1h1m"),
        (35999, "9h59m"),
        (86399, "23h"),
        (86400, "1d"),
        (3 * 86400 + 4 * 3600, "3d4h"),
        (400 * 86400, "400d"),
    ],
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


@given(st.integers(min_value=0, max_value=99 * 86400))
def test_ages_fit_their_column(seconds: int) -> None:
    assert len(age(NOW_NS - seconds * S, NOW_NS)) <= 9


def test_iso_times() -> None:
    assert iso(NOW_NS, UTC) == "2026-01-02T03:04:05Z"
    assert iso(0) == ""


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB"), (1 << 41, "2.0 TiB")],
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


def test_control_characters_never_reach_the_terminal() -> None:
    assert clean("a\x1b[31mb\nc") == "a [31mb c"
    assert "\x1b" not in "".join(table(("A",), [("\x1b]0;title\x07",)]))


def test_many() -> None:
    assert (many(1, "node"), many(2, "node"), many(0, "node")) == ("1 node", "2 nodes", "0 nodes")
