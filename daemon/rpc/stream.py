"""One side of a stream: ordered frames both ways, with credit so that a slow reader slows the writer.

A reader grants credit as it consumes; at most STREAM_CREDIT frames wait unread on each side.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from daemon.model.errors import EncampError, PeerFault
from daemon.rpc.frames import STREAM_CREDIT, Header, Kind

SendFrame = Callable[[Header, bytes], None]


class Stream:
    """Frames of one call. Made by Peer; `send`, `recv` and `end` are for the owner of this side."""

    def __init__(self, call_id: int, initiator: bool, send_frame: SendFrame) -> None:
        self._call_id = call_id
        self._initiator = initiator
        self._send_frame = send_frame
        self._credit = STREAM_CREDIT
        self._incoming: deque[bytes] = deque()
        self._consumed = 0
        self._their_end = False
        self._our_end = False
        self._error: EncampError | None = None
        self._changed = asyncio.Event()

    async def send(self, data: bytes) -> None:
        """Send one frame; waits while the other side has granted no credit.

        Raises: the error with which the stream has ended, if it has.
        """
        while self._credit <= 0 and self._error is None and not self._closed_for_sending():
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None:
            raise self._error
        if self._closed_for_sending():
            raise PeerFault("the stream has ended; nothing can be sent on it any more")
        self._credit -= 1
        self._frame(Kind.DATA, data)

    async def recv(self) -> bytes | None:
        """The next frame; None once the other side has ended its sending.

        Raises: the error with which the stream has ended.
        """
        while not self._incoming and not self._their_end and self._error is None:
            self._changed.clear()
            await self._changed.wait()
        if self._incoming:
            data = self._incoming.popleft()
            self._consumed += 1
            if self._consumed >= STREAM_CREDIT // 2:
                self._frame(Kind.CREDIT, b"", self._consumed)
                self._consumed = 0
            return data
        if self._error is not None:
            raise self._error
        return None

    def end(self) -> None:
        """Say that this side sends no more. Idempotent."""
        if not self._our_end and self._error is None:
            self._our_end = True
            self._frame(Kind.END, b"")

    def _closed_for_sending(self) -> bool:
        return self._our_end

    def _frame(self, kind: Kind, data: bytes, number: int = 0) -> None:
        self._send_frame(Header(kind, self._initiator, self._call_id, number=number), data)

    # called by Peer

    def feed(self, kind: int, number: int, data: bytes) -> None:
        """Take a DATA, CREDIT or END frame. Raises PeerFault when the other side overruns its credit."""
        if kind == Kind.DATA:
            if len(self._incoming) >= 2 * STREAM_CREDIT:
                raise PeerFault("the peer sends more on a stream than it was granted")
            self._incoming.append(data)
        elif kind == Kind.CREDIT:
            self._credit += number
        elif kind == Kind.END:
            self._their_end = True
        self._changed.set()

    def finish(self, error: EncampError | None) -> None:
        """The call is over: well (None) or with an error. Frames that have arrived can still be read."""
        self._their_end = True
        self._our_end = True
        self._error = error
        self._changed.set()
