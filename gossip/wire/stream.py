"""Finds the end of one frame in a byte stream, without trusting its header. Pure.

Theory: each direction of a stream carries one frame. The reader keeps what has really arrived and refuses a wrong
label, an unknown type or a length above the limit as soon as the header shows it; memory grows only with bytes
received. Bytes after the frame are an error: a peer that says more than one frame does not speak this protocol.
"""

from __future__ import annotations

from gossip import limits
from gossip.errors import DecodeError
from gossip.wire.envelope import FRAME_HEAD_BYTES, PLAIN_FRAME
from gossip.wire.messages import Kind


class FrameReader:
    """Collects one frame. `feed` returns it when it is whole, else None."""

    def __init__(self, head: bytes, *, bytes_max: int = limits.STREAM_BYTES_MAX) -> None:
        self._head = head
        self._bytes_max = bytes_max
        self._data = bytearray()
        self._total: int | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept so far."""
        return len(self._data)

    def feed(self, data: bytes) -> bytes | None:
        """Take what arrived. Raises: DecodeError; the stream is to be closed then."""
        self._data += data
        if self._total is None:
            self._total = self._measure()
        if self._total is None or len(self._data) < self._total:
            return None
        if len(self._data) > self._total:
            raise DecodeError("malformed", "bytes after the frame")
        return bytes(self._data)

    def _measure(self) -> int | None:
        known = min(len(self._data), len(self._head))
        if self._data[:known] != self._head[:known]:
            raise DecodeError("label", "another label")
        at = len(self._head)
        if len(self._data) <= at:
            return None
        kind = self._data[at]
        if kind not in (Kind.ENCRYPT, PLAIN_FRAME):
            raise DecodeError("label" if kind == Kind.LABEL else "unknown_type", f"frame {kind}")
        if len(self._data) < at + FRAME_HEAD_BYTES:
            return None
        length = int.from_bytes(self._data[at + 1 : at + FRAME_HEAD_BYTES], "big")
        if length > self._bytes_max:
            raise DecodeError("too_large", "frame")
        return at + FRAME_HEAD_BYTES + length
