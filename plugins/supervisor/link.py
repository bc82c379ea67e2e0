"""One connection to the supervisor on an asyncio loop: requests out, answers and events in.

Theory: asyncio has no transport for SEQPACKET sockets, so this watches the descriptor itself. A link breaks
once and for all; its owner makes a new one.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

from plugins.supervisor import protocol


class LinkLost(Exception):
    """The connection ended before the answer came."""


class Failure(Exception):
    """The supervisor answered with an error."""

    def __init__(self, kind: str, message: str, details: dict[str, Any]) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.details = details


class Link:
    """A connected socket and the requests that wait for answers on it."""

    def __init__(self, sock: socket.socket, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._outgoing: list[tuple[bytes, list[int]]] = []
        self.closed = asyncio.Event()
        #: called once when the link ends.
        self.on_close: Callable[[], None] = lambda: None
        self._loop.add_reader(sock.fileno(), self._on_readable)

    def request(
        self, op: str, fds: list[int] | None = None, **fields: Any
    ) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        """Send a request. Returns (its number, future of its answer). Raises: LinkLost, protocol.BadMessage.

        The descriptors are sent by copy; the caller may close its own when this returns.
        """
        if self.closed.is_set():
            raise LinkLost("not connected")
        self._number += 1
        data, out, body = protocol.encode({"n": self._number, "op": op, **fields}, fds)
        # a queued message needs descriptors that stay open until it leaves
        copies = [os.dup(fd) for fd in out]
        if body is not None:
            os.close(body)
        future: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._answers[self._number] = future
        self._outgoing.append((data, copies))
        self._flush()
        return self._number, future

    def forget(self, number: int) -> None:
        """Stop waiting for an answer."""
        self._answers.pop(number, None)

    def _flush(self) -> None:
        while self._outgoing:
            data, fds = self._outgoing[0]
            try:
                if fds:
                    socket.send_fds(self._sock, [data], fds)
                else:
                    self._sock.send(data)
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._flush)
                return
            except OSError:
                self.close()
                return
            del self._outgoing[0]
            for fd in fds:
                os.close(fd)
        self._loop.remove_writer(self._sock.fileno())

    def _on_readable(self) -> None:
        # bounded, so that a burst of answers does not hold the loop
        for _ in range(64):
            if self.closed.is_set():
                return
            try:
                got = protocol.receive(self._sock)
                if got is None:
                    self.close()
                    return
                message, _ = protocol.decode(*got)
            except BlockingIOError:
                return
            except (OSError, protocol.BadMessage):
                self.close()
                return
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self._on_event(message)
            return
        future = self._answers.pop(message.get("n", 0), None)
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(
                Failure(message["error"], message.get("message", ""), message.get("details") or {})
            )
        else:
            future.set_result(message["ok"])

    def close(self) -> None:
        """Close the socket; everyone who waits gets LinkLost. Idempotent."""
        if self.closed.is_set():
            return
        self.closed.set()
        self.on_close()
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for _, fds in self._outgoing:
            for fd in fds:
                os.close(fd)
        self._outgoing.clear()
        answers, self._answers = self._answers, {}
        for future in answers.values():
            if not future.done():
                future.set_exception(LinkLost("the connection to the supervisor ended"))
                # whoever waited may be gone already
                future.exception()
