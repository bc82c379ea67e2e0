"""Several streams of logs at once over one connection, each with its own way to the terminal.

Theory: frames of all streams arrive on one socket; each turn takes what is there, a bounded number per stream, so that
a task that writes without pause does not silence the others. A tail that is followed first gathers what is already
written (until its window is full or nothing has come for a moment), shows its last lines, then goes on live.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from daemon.cli.session import Session, StreamPort
from daemon.cli.tail import WINDOW_BYTES, enough_lines, last_lines
from daemon.rpc.methods import Method

BURST = 16
QUIET_S = 0.3
WINDOW_BYTES_MAX = 64 * 1024 * 1024


@dataclass(slots=True)
class Source:
    """One stream. `show` gets its bytes; `finish` is called when it has ended."""

    stream: StreamPort
    show: Callable[[bytes], None]
    finish: Callable[[], None] = lambda: None
    #: lines of history to show first, when following a tail.
    tail: int | None = None
    window: int = WINDOW_BYTES
    _history: bytearray = field(default_factory=bytearray)
    _heard_s: float = field(default_factory=time.monotonic)

    def take(self) -> tuple[bool, bool]:
        """Show what is there, a bounded amount. (something came, the stream is still open)."""
        came = False
        for _ in range(BURST):
            try:
                data = self.stream.recv(0)
            except TimeoutError:
                break
            if data is None:
                self._release()
                self.finish()
                return True, False
            came = True
            self._feed(data)
        if self.tail is not None and not came and time.monotonic() - self._heard_s > QUIET_S:
            self._release()
        return came, True

    def _feed(self, data: bytes) -> None:
        if self.tail is None:
            self.show(data)
            return
        self._heard_s = time.monotonic()
        self._history += data
        if len(self._history) >= self.window:
            self._release()

    def _release(self) -> None:
        if self.tail is not None:
            data = last_lines(bytes(self._history), self.tail)
            self._history.clear()
            self.tail = None
            if data:
                self.show(data)


def pump(sources: list[Source], until_s: float | None = None) -> None:
    """Show all sources until every one has ended, or until a monotonic time. Ended ones leave the list."""
    while sources and (until_s is None or time.monotonic() < until_s):
        came = False
        for source in list(sources):
            try:
                something, is_open = source.take()
            except BaseException:
                sources.remove(source)
                raise
            came = came or something
            if not is_open:
                sources.remove(source)
                source.stream.__exit__(None, None, None)
        if sources and not came:
            sources[0].stream.poll([], QUIET_S)


def read_all(session: Session, method: Method[Any, Any], **fields: Any) -> bytes:
    """All that a stream gives, for a bounded request."""
    parts: list[bytes] = []
    with session.stream(method, **fields) as stream:
        while (data := stream.recv()) is not None:
            parts.append(data)
    return b"".join(parts)


def read_tail(session: Session, method: Method[Any, Any], lines: int, **fields: Any) -> bytes:
    """The last lines of a log or file, fetching no more than is needed to find them."""
    window = WINDOW_BYTES
    while True:
        data = read_all(session, method, offset=window, origin="end", follow=False, **fields)
        if enough_lines(data, lines, window) or window >= WINDOW_BYTES_MAX:
            return last_lines(data, lines)
        window *= 4
