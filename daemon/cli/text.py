"""Tables, key/value blocks, times and sizes as text. Pure.

Theory: a cell is a plain string, or a `Styled` one; widths are those of the bare text, and the colour goes round
it last, so that a coloured table lines up like a plain one.

Source: spec/nomad-surface.md E, "Output conventions".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

NONE = "<none>"
_NS = 1_000_000_000
_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36", "dim": "2"}

#: colour of a status word; anything else stays plain.
STATUS_STYLE = {
    "running": "green",
    "ready": "green",
    "eligible": "green",
    "healthy": "green",
    "pending": "yellow",
    "blocked": "yellow",
    "unknown": "yellow",
    "disconnected": "yellow",
    "ineligible": "yellow",
    "quarantined": "yellow",
    "initializing": "yellow",
    "failed": "red",
    "lost": "red",
    "down": "red",
    "unhealthy": "red",
}


class Styled(NamedTuple):
    """A cell with a colour; `style` is a name of `_CODES` or ""."""

    text: str
    style: str


Cell = str | Styled


def status(word: str) -> Cell:
    """A status word in its colour."""
    style = STATUS_STYLE.get(word, "")
    return Styled(word, style) if style else word


def paint(text: str, style: str, on: bool) -> str:
    """`text` in a colour, when colours are on."""
    code = _CODES.get(style, "") if on else ""
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]], *, color: bool = False) -> list[str]:
    """Aligned columns, two spaces between; empty cells are `<none>`; the header is bold."""
    body = [[_cell(cell) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[at].text) for row in body)]) for at, name in enumerate(header)]
    lines = [paint(_join([Styled(name, "") for name in header], widths, False), "bold", color)]
    lines += [_join(row, widths, color) for row in body]
    return lines


def _cell(cell: Cell) -> Styled:
    text, style = cell if isinstance(cell, Styled) else (cell, "")
    return Styled(clean(text) or NONE, style)


def _join(row: Sequence[Styled], widths: Sequence[int], color: bool) -> str:
    cells = [
        paint(cell.text, cell.style, color) + " " * (width - len(cell.text))
        for cell, width in zip(row, widths, strict=True)
    ]
    return "  ".join(cells).rstrip()


def pairs(items: Iterable[tuple[str, Cell]], *, color: bool = False) -> list[str]:
    """A block of `Key = value`, the signs under each other."""
    listed = [(key, _cell(value)) for key, value in items]
    width = max((len(key) for key, _ in listed), default=0)
    return [f"{key:<{width}} = {paint(cell.text, cell.style, color)}" for key, cell in listed]


def title(text: str, *, color: bool = False) -> str:
    """Heading of a section."""
    return paint(text, "bold", color)


def clean(text: str) -> str:
    """Text from elsewhere, made safe for a terminal: no control characters."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def short(id_: str, verbose: bool = False) -> str:
    """The first eight characters of an id, or all of it."""
    return id_ if verbose else id_[:8]


def iso(at_ns: int, zone: tzinfo | None = None) -> str:
    """A wall time as ISO 8601 with its offset, in the local zone unless told; "" for 0."""
    if at_ns <= 0:
        return ""
    when = datetime.fromtimestamp(at_ns // _NS, UTC).astimezone(zone)
    text = when.isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def age(at_ns: int, now_ns: int) -> str:
    """How long ago, in at most nine characters up to a hundred days; "" for 0."""
    if at_ns <= 0:
        return ""
    return f"{span(max(0, now_ns - at_ns) / _NS)} ago"


def span(seconds: float) -> str:
    """A length of time, coarse: the two largest units, one when it is over ten of the larger."""
    if seconds < 60:
        return f"{int(seconds)}s"
    for small, large, size, per in (("s", "m", 60, 60), ("m", "h", 3600, 60), ("h", "d", 86400, 24)):
        if seconds < size * 10 or large == "d":
            whole = int(seconds // size)
            rest = int(seconds % size // (size / per))
            return f"{whole}{large}{rest}{small}" if rest and whole < 10 else f"{whole}{large}"
        if seconds < size * (60 if large == "m" else 24):
            return f"{int(seconds // size)}{large}"
    return ""


def size(count: float) -> str:
    """Bytes in binary units: `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{int(count)} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def many(count: int, noun: str) -> str:
    """`1 node`, `3 nodes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
