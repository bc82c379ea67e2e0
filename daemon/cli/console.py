"""Writing to the terminal: results to stdout, everything else to stderr.

Theory: programs read stdout, people read both. Colours only where a person looks; a wait of over a second says what
it waits for, on a terminal only, and wipes it afterwards.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from daemon.cli.settings import wants_color
from daemon.cli.text import paint, title

PATIENCE_S = 1.0


class PipeClosed(Exception):
    """The reader of stdout has gone away: nothing to say, nobody to say it to."""


class Console:
    """Both outputs of one command. The streams are looked up anew, so that tests may swap them."""

    def __init__(self, color: bool | None = None) -> None:
        self.color = wants_color(color, os.environ, _is_terminal(sys.stdout))
        self.color_err = wants_color(color, os.environ, _is_terminal(sys.stderr))
        #: progress goes here; stderr when stdout carries JSON.
        self.progress_to_stderr = False

    def lines(self, lines: Iterable[str]) -> None:
        """Results."""
        text = "\n".join(lines)
        if text:
            sys.stdout.write(f"{text}\n")

    def line(self, line: str = "") -> None:
        """One line of the result."""
        sys.stdout.write(f"{line}\n")

    def section(self, heading: str, lines: Iterable[str]) -> None:
        """A blank line, a heading and a block; nothing when the block is empty."""
        block = list(lines)
        if block:
            self.lines(["", title(heading, color=self.color), *block])

    def progress(self, lines: Iterable[str]) -> None:
        """What happens meanwhile, shown at once."""
        stream = sys.stderr if self.progress_to_stderr else sys.stdout
        for each in lines:
            stream.write(f"{each}\n")
        stream.flush()

    def json(self, data: bytes) -> None:
        """A JSON document."""
        sys.stdout.write(data.decode())
        sys.stdout.write("\n")

    def write_bytes(self, data: bytes) -> None:
        """Raw output of a task, at once."""
        write_raw(sys.stdout, data)

    def warn(self, text: str) -> None:
        """A warning."""
        sys.stderr.write(f"{paint('Warning:', 'yellow', self.color_err)} {text}\n")

    def note(self, text: str) -> None:
        """A remark beside the result."""
        sys.stderr.write(f"{text}\n")

    def error(self, text: str, *hints: str) -> None:
        """What failed, then what to do."""
        sys.stderr.write(f"{paint('Error:', 'red', self.color_err)} {text}\n")
        for hint in hints:
            sys.stderr.write(f"  {hint}\n")

    @contextmanager
    def patience(self, what: str) -> Iterator[None]:
        """Say what is waited for when it takes over a second; only on a terminal."""
        if not _is_terminal(sys.stderr):
            yield
            return
        shown = threading.Event()
        lock = threading.Lock()

        def show() -> None:
            with lock:
                shown.set()
                sys.stderr.write(f"... waiting for {what}")
                sys.stderr.flush()

        timer = threading.Timer(PATIENCE_S, show)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with lock:
                if shown.is_set():
                    sys.stderr.write("\r\x1b[K")
                    sys.stderr.flush()


def write_raw(stream: TextIO, data: bytes) -> None:
    """Bytes to a text stream, past its encoding, at once."""
    stream.flush()
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        stream.write(data.decode(errors="replace"))
    else:
        buffer.write(data)
        buffer.flush()
    stream.flush()


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
