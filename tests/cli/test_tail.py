"""Last lines, prefixed lines, and the way out of a session."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli.tail import LINE_BYTES_MAX, Escape, Lines, enough_lines, last_lines


@pytest.mark.parametrize(
    ("data", "count", "expected"),
    [
        (b"", 3, b""),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\n", 9, b"a\nb\n"),
        (b"a\n\n\n", 2, b"\n\n"),
        (b"a\nb\n", 0, b""),
    ],
)
def test_last_lines(data: bytes, count: int, expected: bytes) -> None:
    assert last_lines(data, count) == expected


@given(st.binary(max_size=50).map(lambda data: data.replace(b"\r", b"\n")), st.integers(1, 9))
def test_last_lines_like_a_list(data: bytes, count: int) -> None:
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    if not lines[-1]:
        lines.pop()
    assert last_lines(data, count) == b"".join(lines[-count:])


def test_enough_lines_only_when_the_window_holds_them() -> None:
    assert enough_lines(b"short", 10, 100)
    assert not enough_lines(b"x" * 100, 1, 100)
    assert enough_lines(b"\n" + b"x" * 98 + b"\n", 1, 100)


@given(st.lists(st.binary(max_size=20)))
def test_lines_keep_every_byte_however_it_is_cut(chunks: list[bytes]) -> None:
    cutter = Lines()
    shown = b"".join(cutter.feed(chunk) for chunk in chunks) + cutter.end()
    whole = b"".join(chunks)
    assert shown == (whole if whole.endswith(b"\n") or not whole else whole + b"\n")


def test_lines_have_a_prefix_and_are_filtered_whole() -> None:
    cutter = Lines(prefix=b"8a1f0000/web ", pattern=re.compile(rb"ERR"))
    assert cutter.feed(b"ok\nER") == b""
    assert cutter.feed(b"R one\nmore") == b"8a1f0000/web ERR one\n"
    assert cutter.end() == b""


def test_a_line_without_end_is_shown_in_pieces() -> None:
    assert Lines().feed(b"x" * LINE_BYTES_MAX).startswith(b"xxx")


@pytest.mark.parametrize(
    ("typed", "sent", "leave"),
    [
        (b"ls\r", b"ls\r", False),
        (b"~.", b"", True),
        (b"ls\r~.", b"ls\r", True),
        (b"a~.b", b"a~.b", False),
        (b"~~.", b"~.", False),
        (b"~x", b"~x", False),
        (b"\r~", b"\r", False),
    ],
)
def test_escape(typed: bytes, sent: bytes, leave: bool) -> None:
    for cut in range(len(typed) + 1):
        escape = Escape(b"~")
        first, left = escape.feed(typed[:cut])
        if not left:
            second, left = escape.feed(typed[cut:])
            first += second
        assert (first, left) == (sent, leave)


def test_no_escape_at_all() -> None:
    assert Escape(b"").feed(b"~.") == (b"~.", False)
