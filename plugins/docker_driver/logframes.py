"""Takes the engine's log stream apart: frames, timestamps, and what of it has been written before.

Theory: without a terminal each message comes in a frame (stream, length, text); with one, bare lines
come. With `timestamps=1` each message starts with the time at which the engine read it, in a fixed width,
so that texts compare as times. The engine cuts lines at 16 KiB and gives all pieces of one line the same
time, therefore a position is (time, number of messages seen with that time), for each stream on its own.
A stream resumed with `since` begins again at the position's time; `Resume` drops what was seen.
Pure. Source: Docker Engine API 1.41, "Attach to a container"; daemon/logger's 16 KiB buffer.
"""

from __future__ import annotations

import datetime
from typing import Final, Literal

import msgspec

StreamName = Literal["stdout", "stderr"]
STREAMS: Final[dict[int, StreamName]] = {1: "stdout", 2: "stderr"}
HEADER_BYTES: Final = 8
#: the engine's largest message; a longer line comes in pieces.
MESSAGE_BYTES: Final = 16_384
MAX_FRAME_BYTES: Final = 2**20
STAMP_BYTES: Final = len("2006-01-02T15:04:05.000000000Z")


class FrameError(Exception):
    """The stream is not what the engine promises."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message: where it goes, when it was read, its bytes with the line's end."""

    stream: StreamName
    stamp: str
    data: bytes


class Seen(msgspec.Struct, frozen=True):
    """How far one stream is written: the last time, and the number of messages with that time."""

    stamp: str = ""
    count: int = 0


class Position(msgspec.Struct, frozen=True):
    """How far both streams are written."""

    stdout: Seen = Seen()
    stderr: Seen = Seen()

    def since(self) -> str:
        """The engine's `since` for a resumed stream: `SECONDS.NANOSECONDS`, empty for the beginning."""
        stamps = [seen.stamp for seen in (self.stdout, self.stderr) if seen.stamp]
        return stamp_to_unix(min(stamps)) if stamps else ""


def stamp_to_unix(stamp: str) -> str:
    """A message's time as seconds and nanoseconds since 1970."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    at = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.UTC)
    return f"{int(at.timestamp())}.{fraction.ljust(9, '0')[:9] or '0'}"


def _message(stream: StreamName, data: bytes) -> Message:
    """Split the time off a message's front; a message without one is kept whole."""
    head, space, rest = data.partition(b" ")
    if space and len(head) == STAMP_BYTES and head.endswith(b"Z"):
        return Message(stream, head.decode("ascii", "replace"), rest)
    return Message(stream, "", data)


class FrameReader:
    """Collects bytes and gives out whole messages of a stream without a terminal."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[Message]:
        """Messages that are complete now. Raises FrameError."""
        self._rest += chunk
        messages: list[Message] = []
        at = 0
        while len(self._rest) - at >= HEADER_BYTES:
            kind = self._rest[at]
            size = int.from_bytes(self._rest[at + 4 : at + HEADER_BYTES], "big")
            if kind not in (0, 1, 2) or size > MAX_FRAME_BYTES:
                raise FrameError(f"unexpected log frame: stream {kind}, {size} bytes")
            end = at + HEADER_BYTES + size
            if len(self._rest) < end:
                break
            messages.append(_message(STREAMS.get(kind, "stdout"), bytes(self._rest[at + HEADER_BYTES : end])))
            at = end
        del self._rest[:at]
        return messages

    def finish(self) -> list[Message]:
        """What is left at the end: an incomplete frame is dropped, it will come again."""
        return []


class LineReader:
    """The same for a terminal: bare lines, all on stdout."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[Message]:
        """Messages that are complete now: up to a line's end, or as long as the engine makes them."""
        self._rest += chunk
        messages: list[Message] = []
        longest = STAMP_BYTES + 1 + MESSAGE_BYTES
        while self._rest:
            end = self._rest.find(b"\n", 0, longest) + 1
            if not end and len(self._rest) < longest:
                break
            end = end or longest
            messages.append(_message("stdout", bytes(self._rest[:end])))
            del self._rest[:end]
        return messages

    def finish(self) -> list[Message]:
        """The last line without an end."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [_message("stdout", rest)] if rest else []


class Resume:
    """Drops messages that were written before the stream was opened again, and keeps the position."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self._old: dict[StreamName, Seen] = {"stdout": position.stdout, "stderr": position.stderr}
        self._seen: dict[StreamName, Seen] = dict(self._old)
        self._again: dict[StreamName, int] = {"stdout": 0, "stderr": 0}
        self._live: dict[StreamName, bool] = {
            "stdout": not position.stdout.stamp,
            "stderr": not position.stderr.stamp,
        }

    def accept(self, messages: list[Message]) -> dict[StreamName, bytes]:
        """The new bytes of each stream; `position` then stands behind them."""
        fresh: dict[StreamName, list[bytes]] = {"stdout": [], "stderr": []}
        for message in messages:
            if self._is_new(message):
                fresh[message.stream].append(message.data)
        self.position = Position(self._seen["stdout"], self._seen["stderr"])
        return {name: b"".join(parts) for name, parts in fresh.items() if parts}

    def _is_new(self, message: Message) -> bool:
        name, old = message.stream, self._old[message.stream]
        if not self._live[name]:
            if message.stamp < old.stamp:
                return False
            if message.stamp == old.stamp:
                self._again[name] += 1
                if self._again[name] <= old.count:
                    return False
            self._live[name] = True
        seen = self._seen[name]
        same = seen.stamp == message.stamp
        self._seen[name] = Seen(message.stamp or seen.stamp, seen.count + 1 if same else 1)
        return True
