"""Pieces of byte streams: the last lines, whole lines with a prefix, the escape of an interactive session. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: a line without an end is shown in pieces of this size.
LINE_BYTES_MAX = 64 * 1024
#: bytes fetched first to find the last lines; quadrupled until they are found.
WINDOW_BYTES = 64 * 1024


def last_lines(data: bytes, count: int) -> bytes:
    """The last `count` lines; a text without a final newline ends in a line, too."""
    if count <= 0:
        return b""
    at = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(count):
        at = data.rfind(b"\n", 0, at)
        if at < 0:
            return data
    return data[at + 1 :]


def enough_lines(data: bytes, count: int, window: int) -> bool:
    """Whether the last `window` bytes of a text hold its last `count` lines, or it is no longer than that."""
    return len(data) < window or data.count(b"\n", 0, len(data) - 1) >= count


@dataclass(slots=True)
class Lines:
    """Cuts a stream into lines with a prefix, keeping those that match."""

    prefix: bytes = b""
    pattern: re.Pattern[bytes] | None = None
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> bytes:
        """The whole lines so far."""
        self._rest += data
        cut = self._rest.rfind(b"\n") + 1
        if not cut and len(self._rest) >= LINE_BYTES_MAX:
            cut = len(self._rest)
        whole = bytes(self._rest[:cut])
        del self._rest[:cut]
        return self._shown(whole)

    def end(self) -> bytes:
        """What is left when the stream has ended."""
        whole = bytes(self._rest)
        self._rest.clear()
        return self._shown(whole)

    def _shown(self, whole: bytes) -> bytes:
        lines = whole.split(b"\n")
        if not lines[-1]:
            lines.pop()
        kept = [line for line in lines if self.pattern is None or self.pattern.search(line)]
        return b"".join(self.prefix + line + b"\n" for line in kept)


@dataclass(slots=True)
class Escape:
    """Finds `~.` at the beginning of a line in what a person types: the way out of a session that hangs."""

    char: bytes
    _line_start: bool = True
    _pending: bool = False

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(what to send on, whether to leave)."""
        if not self.char:
            return data, False
        sent = bytearray()
        for at in range(len(data)):
            byte = data[at : at + 1]
            if self._pending:
                self._pending = False
                if byte == b".":
                    return bytes(sent), True
                if byte != self.char:
                    sent += self.char
            elif self._line_start and byte == self.char:
                self._pending = True
                continue
            sent += byte
            self._line_start = byte in (b"\r", b"\n")
        return bytes(sent), False
