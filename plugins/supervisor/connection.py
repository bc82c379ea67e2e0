"""One client of the supervisor: reads requests, queues answers, owns the commands that it started.

Theory: answers are sent at once; what the socket does not take waits in a bounded queue. A client that does
not read is cut off and asks again when it is back: every request can be repeated. Commands (`run`) belong to
the connection: when it goes, they are killed.
"""

from __future__ import annotations

import os
import socket
import struct

from plugins.supervisor import protocol
from plugins.supervisor.loop import Loop, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from plugins.supervisor.session import Session

_QUEUE_MAX_COUNT = 4096


class Connection:
    """One accepted socket."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_request: Callable[[Connection, dict[str, Any], list[int]], None],
        on_close: Callable[[Connection], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._on_request = on_request
        self._on_close = on_close
        self._queue: list[bytes] = []
        self.greeted = False
        self.sessions: dict[int, Session] = {}
        self.pid, self.uid, _ = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
        sock.setblocking(False)
        loop.watch(sock.fileno(), self._on_ready)

    @property
    def is_open(self) -> bool:
        """False once closed; answers to it are then forgotten."""
        return self._sock.fileno() >= 0

    def _on_ready(self) -> None:
        self._flush()
        # a bounded number, so that one client cannot keep the loop from the others
        for _ in range(32):
            if not self.is_open:
                return
            try:
                got = protocol.receive(self._sock)
                if got is None:
                    self.close()
                    return
                message, fds = protocol.decode(*got)
            except BlockingIOError:
                return
            except (OSError, protocol.BadMessage) as error:
                log(f"client {self.pid}: {error}; closing its connection")
                self.close()
                return
            self._on_request(self, message, fds)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message or queue it."""
        if not self.is_open:
            return
        if len(self._queue) >= _QUEUE_MAX_COUNT:
            log(f"client {self.pid}: does not read its answers; closing its connection")
            self.close()
            return
        data, _, body = protocol.encode(message)
        if body is not None:
            # answers are made to fit; see LIST_PAGE_COUNT
            os.close(body)
            raise protocol.BadMessage("answer too long")
        self._queue.append(data)
        self._flush()

    def _flush(self) -> None:
        had = len(self._queue)
        while self._queue:
            try:
                self._sock.send(self._queue[0])
            except BlockingIOError:
                self._loop.watch_write(self._sock.fileno(), self._on_ready)
                return
            except OSError:
                self.close()
                return
            del self._queue[0]
        if had and self.is_open:
            self._loop.watch_read(self._sock.fileno(), self._on_ready)

    def close(self) -> None:
        """Close the socket and kill its commands. Idempotent."""
        if not self.is_open:
            return
        self._loop.unwatch(self._sock.fileno())
        self._sock.close()
        self._queue.clear()
        for session in list(self.sessions.values()):
            session.cancel()
        self._on_close(self)
