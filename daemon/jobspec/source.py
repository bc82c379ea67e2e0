"""Text with a name, and ranges in it. Pure.

Theory: everything that a reader makes carries a `Range`, which is two offsets into one `Source`; lines and
columns are worked out only when a person has to see them. Columns count characters from 1.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Source:
    """A named text. `name` is what messages call it: a path, `<stdin>`, `-var x`."""

    name: str
    text: str
    _starts: list[int] | None = field(default=None, repr=False)

    def position(self, offset: int) -> tuple[int, int]:
        """(line, column) of an offset, both from 1.

        Cost: O(log lines) after the first call.
        """
        if self._starts is None:
            starts, at = [0], self.text.find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = self.text.find("\n", at + 1)
            self._starts = starts
        row = bisect_right(self._starts, offset) - 1
        return row + 1, offset - self._starts[row] + 1

    def line(self, number: int) -> str:
        """Text of a line, without its end."""
        self.position(0)
        assert self._starts is not None
        if not 1 <= number <= len(self._starts):
            return ""
        start = self._starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else len(self.text)].rstrip("\r")

    def range(self, start: int, end: int) -> Range:
        """The range between two offsets, cut to the text."""
        start = max(0, min(start, len(self.text)))
        return Range(self, start, max(start, min(end, len(self.text))))

    def whole(self) -> Range:
        """The first character: where a message about the whole text points to."""
        return self.range(0, 1)


@dataclass(eq=False, slots=True, frozen=True)
class Range:
    """Characters `start` to `end` (exclusive) of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """Line of the start, from 1."""
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        """Column of the start, from 1."""
        return self.source.position(self.start)[1]

    @property
    def text(self) -> str:
        """What stands there."""
        return self.source.text[self.start : self.end]

    def to(self, other: Range) -> Range:
        """From this start to the other's end."""
        return Range(self.source, self.start, max(self.end, other.end))

    def __str__(self) -> str:
        """`file:line:col`."""
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"
