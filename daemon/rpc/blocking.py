"""The calling side for the command line: blocking, no asyncio, quick to import.

`Connection.open` makes sure that somebody answers; `call` and `stream` then work with plain deadlines.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeVar

import zmq

from daemon.model.base import decode, encode
from daemon.model.errors import DeadlineExceeded, EncampError, Unavailable
from daemon.rpc.address import Address, candidates
from daemon.rpc.frames import (
    MESSAGE_BYTES_MAX,
    STREAM_CREDIT,
    Header,
    Kind,
    decode_failure,
    decode_header,
    encode_header,
)
from daemon.rpc.methods import Method

Q = TypeVar("Q")
A = TypeVar("A")

#: a stream on which not even a sign of life came for so long is dead.
SILENCE_S = 20.0


class Connection:
    """A connection to one agent; one call or stream at a time per thread."""

    def __init__(self, address: Address, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.address = address
        self._context = context
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 100)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
        self._next_id = 0
        self._streams: dict[int, Stream] = {}

    @classmethod
    def open(
        cls,
        address: str | None = None,
        *,
        timeout_s: float = 5.0,
        environment: Mapping[str, str] | None = None,
    ) -> Connection:
        """Connect to the agent at `address`, or to the one found by ENCAMP_ADDR, the ipc sockets, loopback TCP.

        Raises: Unavailable naming the addresses tried and what to do.
        """
        targets = list(candidates(address, os.environ if environment is None else environment))
        for target in targets:
            target.refuse_beyond_loopback()
        tried: list[str] = []
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        for target in targets:
            connection = cls(target, context)
            if connection._connects(timeout_s):
                return connection
            connection._socket.close(0)
            tried.append(str(target))
        context.term()
        raise Unavailable(
            f"no agent answers at {' or '.join(tried)}: start one with `encamp agent -dev`, or name its address "
            "with -address or ENCAMP_ADDR"
        )

    def _connects(self, timeout_s: float) -> bool:
        """Wait until the connection stands or was refused."""
        events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED
        monitor = self._socket.get_monitor_socket(events)
        try:
            self._socket.connect(str(self.address))
            until = time.monotonic() + timeout_s
            while (left := until - time.monotonic()) > 0:
                if not monitor.poll(int(left * 1000)):
                    return False
                event = int.from_bytes(monitor.recv_multipart()[0][:2], "little")
                if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    return True
                if event in (zmq.EVENT_CLOSED, zmq.EVENT_CONNECT_RETRIED):
                    return False
            return False
        finally:
            self._socket.disable_monitor()
            monitor.close(0)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; what is still on its way is given 100 ms."""
        self._socket.close(100)
        self._context.term()

    def fileno(self) -> int:
        """ZeroMQ's descriptor: edge-triggered, use `Stream.poll` rather than select on it."""
        return int(self._socket.getsockopt(zmq.FD))

    def call(self, method: Method[Q, A], request: Q, *, timeout_s: float = 10.0) -> A:
        """Call a unary method.

        Raises: what the agent raised; DeadlineExceeded.
        """
        call_id = self._request(method.name, encode(request), timeout_s)
        until = time.monotonic() + timeout_s + 0.5
        while True:
            frame = self._receive(until - time.monotonic())
            if frame is None:
                raise DeadlineExceeded(
                    f"no answer to {method.name} from {self.address} within {timeout_s:g} s"
                )
            header, body = frame
            if header.call_id != call_id or header.from_initiator:
                continue
            if header.kind == Kind.ANSWER:
                return decode(body, method.response)
            if header.kind == Kind.FAILURE:
                raise decode_failure(body)

    def stream(self, method: Method[Q, Any], request: Q) -> Stream:
        """Open a stream. Use it as a context manager."""
        call_id = self._request(method.name, encode(request), 0)
        stream = self._streams[call_id] = Stream(self, call_id, method.name)
        return stream

    def _request(self, method: str, body: bytes, timeout_s: float) -> int:
        self._next_id += 1
        self._send(Header(Kind.REQUEST, True, self._next_id, method, int(timeout_s * 1000)), body)
        return self._next_id

    def _send(self, header: Header, body: bytes = b"") -> None:
        self._socket.setsockopt(zmq.SNDTIMEO, 10_000)
        try:
            self._socket.send_multipart([encode_header(header), body])
        except zmq.Again as error:
            raise Unavailable(f"the agent at {self.address} does not read what it is sent") from error

    def _receive(self, timeout_s: float) -> tuple[Header, bytes] | None:
        """The next frame, or None when the time is up."""
        if not self._socket.poll(max(0, int(timeout_s * 1000))):
            return None
        parts = self._socket.recv_multipart()
        return decode_header(parts[0]), parts[1] if len(parts) > 1 else b""

    def _dispatch(self, timeout_s: float) -> bool:
        """Give one frame to its stream. False when the time is up."""
        frame = self._receive(timeout_s)
        if frame is None:
            return False
        stream = self._streams.get(frame[0].call_id)
        if stream is not None and not frame[0].from_initiator:
            stream._feed(*frame)
        return True


class Stream:
    """A stream to the agent. `recv` gives frames; None when it has ended well."""

    def __init__(self, connection: Connection, call_id: int, method: str) -> None:
        self._connection = connection
        self._call_id = call_id
        self._method = method
        self._incoming: deque[bytes] = deque()
        self._credit = STREAM_CREDIT
        self._consumed = 0
        self._done = False
        self._error: EncampError | None = None
        self._heard_at = time.monotonic()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection._streams.pop(self._call_id, None)
        if not self._done:
            self._connection._send(Header(Kind.CANCEL, True, self._call_id))

    def send(self, data: bytes) -> None:
        """Send one frame; waits for credit.

        Raises: the error with which the stream has ended.
        """
        while self._credit <= 0 and not self._done:
            self._wait(None)
        if self._done:
            raise self._error or Unavailable(f"{self._method} has ended already")
        self._credit -= 1
        self._connection._send(Header(Kind.DATA, True, self._call_id), data)

    def close_sending(self) -> None:
        """Say that nothing more will be sent."""
        if not self._done:
            self._connection._send(Header(Kind.END, True, self._call_id))

    def recv(self, timeout_s: float | None = None) -> bytes | None:
        """The next frame; None when the stream has ended well.

        Raises: TimeoutError when nothing came in time; the error with which the stream has ended.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._incoming and not self._done:
            if not self._wait(until):
                raise TimeoutError
        if self._incoming:
            self._consumed += 1
            if self._consumed >= STREAM_CREDIT // 2 and not self._done:
                self._connection._send(Header(Kind.CREDIT, True, self._call_id, number=self._consumed))
                self._consumed = 0
            return self._incoming.popleft()
        if self._error is not None:
            raise self._error
        return None

    def poll(self, fds: list[int], timeout_s: float | None = None) -> tuple[bool, list[int]]:
        """Wait until the stream has something (or has ended), or one of the descriptors can be read."""
        poller = zmq.Poller()
        poller.register(self._connection._socket, zmq.POLLIN)
        for fd in fds:
            poller.register(fd, zmq.POLLIN)
        until = None if timeout_s is None else time.monotonic() + timeout_s
        ready: list[int] = []
        while not (self._incoming or self._done or ready):
            left = None if until is None else max(0.0, until - time.monotonic())
            events = dict(poller.poll(None if left is None else int(left * 1000)))
            while self._connection._dispatch(0):
                pass
            ready = [fd for fd in fds if fd in events]
            if not events and left is not None:
                break
        return bool(self._incoming or self._done), ready

    def _wait(self, until: float | None) -> bool:
        """Read one frame. False when `until` has passed; a dead connection ends the stream."""
        now = time.monotonic()
        silence_left = self._heard_at + SILENCE_S - now
        left = silence_left if until is None else min(silence_left, until - now)
        if self._connection._dispatch(left):
            return True
        if time.monotonic() - self._heard_at >= SILENCE_S:
            self._finish(Unavailable(f"the agent at {self._connection.address} has gone silent"))
            return True
        return False

    def _feed(self, header: Header, body: bytes) -> None:
        self._heard_at = time.monotonic()
        if header.kind == Kind.DATA:
            self._incoming.append(body)
        elif header.kind == Kind.CREDIT:
            self._credit += header.number
        elif header.kind == Kind.ANSWER:
            self._finish(None)
        elif header.kind == Kind.FAILURE:
            self._finish(decode_failure(body))

    def _finish(self, error: EncampError | None) -> None:
        self._done = True
        self._error = error
