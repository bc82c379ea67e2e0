"""One connection's calls, in both directions. The socket is somebody else's: frames come in by `handle`.

Theory: outgoing calls wait in a table by their id; incoming ones run as tasks of the peer's scope. Whatever way a
call ends, exactly one of ANSWER, FAILURE or CANCEL closes it, and late frames for it are dropped. When the
connection is lost, all outgoing calls fail and all incoming ones are cancelled.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from daemon.aio.scope import Scope
from daemon.model.base import decode, encode
from daemon.model.errors import DeadlineExceeded, EncampError, PeerFault, Unavailable
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.frames import Header, Kind, decode_failure, encode_failure
from daemon.rpc.methods import Method
from daemon.rpc.stream import SendFrame, Stream

log = logging.getLogger("encamp.rpc")

Q = TypeVar("Q")
A = TypeVar("A")

#: calls of one peer that may run here at once; a node with many blocking queries needs a few dozen.
CALLS_MAX = 1024
#: seconds between signs of life on the streams that we serve.
PING_S = 5.0


class Peer:
    """Both directions of one connection."""

    def __init__(
        self,
        name: str,
        send_frame: SendFrame,
        dispatcher: Dispatcher,
        caller: Caller,
        *,
        on_fault: Callable[[EncampError], None] | None = None,
    ) -> None:
        self.name = name
        self._send = send_frame
        self._dispatcher = dispatcher
        self._caller = caller
        self._on_fault = on_fault
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._out_streams: dict[int, Stream] = {}
        self._in_streams: dict[int, Stream] = {}
        self._in_tasks: dict[int, asyncio.Task[None]] = {}
        self._scope = Scope(f"rpc peer {name}")
        self._pinger: asyncio.Task[None] | None = None
        self.closed = False

    # ---- calls from here ----

    async def call(self, method: Method[Q, A], request: Q, *, timeout_s: float = 10.0) -> A:
        """Call a unary method of the other side.

        Raises: what the other side raised; DeadlineExceeded; Unavailable when the connection is lost.
        """
        call_id = next(self._ids)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._open_call(call_id, future, method.name, encode(request), timeout_s)
        try:
            done, _ = await asyncio.wait([future], timeout=timeout_s)
            if not done:
                raise DeadlineExceeded(f"no answer to {method.name} from {self.name} within {timeout_s:g} s")
            return decode(future.result(), method.response)
        finally:
            if self._waiting.pop(call_id, None) is not None and not future.done():
                self._cancel(call_id)

    @asynccontextmanager
    async def stream(self, method: Method[Q, Any], request: Q) -> AsyncIterator[Stream]:
        """Open a stream to the other side; leaving the block cancels what is still running."""
        call_id = next(self._ids)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        stream = Stream(call_id, True, self._send)
        self._out_streams[call_id] = stream
        try:
            self._open_call(call_id, future, method.name, encode(request), 0)
            yield stream
        finally:
            self._out_streams.pop(call_id, None)
            self._waiting.pop(call_id, None)
            if not future.done():
                self._cancel(call_id)

    def _open_call(
        self, call_id: int, future: asyncio.Future[bytes], method: str, body: bytes, timeout_s: float
    ) -> None:
        if self.closed:
            raise Unavailable(f"the connection to {self.name} is closed", retry_after_s=1)
        self._waiting[call_id] = future
        self._send(Header(Kind.REQUEST, True, call_id, method, int(timeout_s * 1000)), body)

    def _cancel(self, call_id: int) -> None:
        if not self.closed:
            self._send(Header(Kind.CANCEL, True, call_id), b"")

    # ---- frames from there ----

    def handle(self, header: Header, body: bytes) -> None:
        """Take one frame. A fault of the peer ends the call concerned and is reported to the owner."""
        try:
            if header.from_initiator:
                self._handle_incoming(header, body)
            else:
                self._handle_reply(header, body)
        except PeerFault as fault:
            if self._on_fault is not None:
                self._on_fault(fault)

    def _handle_reply(self, header: Header, body: bytes) -> None:
        stream = self._out_streams.get(header.call_id)
        if header.kind in (Kind.ANSWER, Kind.FAILURE):
            future = self._waiting.pop(header.call_id, None)
            error = decode_failure(body) if header.kind == Kind.FAILURE else None
            if stream is not None:
                stream.finish(error)
            if future is not None and not future.done():
                if error is None:
                    future.set_result(body)
                else:
                    future.set_exception(error)
        elif stream is not None and header.kind in (Kind.DATA, Kind.CREDIT, Kind.END):
            stream.feed(header.kind, header.number, body)

    def _handle_incoming(self, header: Header, body: bytes) -> None:
        if header.kind == Kind.REQUEST:
            self._start(header, body)
        elif header.kind == Kind.CANCEL:
            task = self._in_tasks.get(header.call_id)
            if task is not None:
                task.cancel()
        elif header.kind in (Kind.DATA, Kind.CREDIT, Kind.END):
            stream = self._in_streams.get(header.call_id)
            if stream is not None:
                stream.feed(header.kind, header.number, body)

    def _start(self, header: Header, body: bytes) -> None:
        call_id = header.call_id
        if self.closed:
            return
        if call_id in self._in_tasks:
            raise PeerFault(f"{self.name} used the call id {call_id} twice")
        if len(self._in_tasks) >= CALLS_MAX:
            self._fail(call_id, Unavailable("too many calls at once on this connection", retry_after_s=1))
            return
        stream: Stream | None = None
        if self._dispatcher.is_stream(header.method):
            # made here and not in the task: DATA may follow the request at once
            stream = self._in_streams[call_id] = Stream(call_id, False, self._send)
        task = self._scope.spawn(self._serve(header, body, stream), header.method)
        self._in_tasks[call_id] = task
        task.add_done_callback(lambda _: self._in_tasks.pop(call_id, None))

    async def _serve(self, header: Header, body: bytes, stream: Stream | None) -> None:
        call_id = header.call_id
        try:
            if stream is not None:
                self._keep_pinging()
                await self._dispatcher.open(header.method, body, stream, self._caller)
                self._send(Header(Kind.ANSWER, False, call_id), b"")
                return
            work = self._dispatcher.call(header.method, body, self._caller)
            timeout_s = header.number / 1000 if header.number else None
            async with asyncio.timeout(timeout_s):
                answer = await work
            self._send(Header(Kind.ANSWER, False, call_id), answer)
        except TimeoutError:
            self._fail(call_id, DeadlineExceeded(f"{header.method} took longer than its deadline"))
        except EncampError as error:
            self._fail(call_id, error)
        except Exception as error:
            log.exception("%s from %s failed", header.method, self.name)
            self._fail(call_id, error)
        finally:
            self._in_streams.pop(call_id, None)
            if stream is not None:
                stream.finish(None)

    def _fail(self, call_id: int, error: BaseException) -> None:
        if not self.closed:
            self._send(Header(Kind.FAILURE, False, call_id), encode_failure(error))

    def _keep_pinging(self) -> None:
        if self._pinger is None or self._pinger.done():
            self._pinger = self._scope.spawn(self._ping(), "ping")

    async def _ping(self) -> None:
        """Signs of life while streams are served: they also find out that the reader is gone."""
        while self._in_streams:
            await asyncio.sleep(PING_S)
            for call_id in list(self._in_streams):
                self._send(Header(Kind.PING, False, call_id), b"")

    # ---- end ----

    def lost(self, error: EncampError) -> None:
        """The connection is gone: fail outgoing calls, cancel incoming ones. Follow with `close()`."""
        self.closed = True
        for stream in list(self._out_streams.values()):
            stream.finish(error)
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()
        for task in list(self._in_tasks.values()):
            task.cancel()

    async def close(self) -> None:
        """End all calls in both directions and wait for their handlers."""
        self.lost(Unavailable(f"the connection to {self.name} was closed", retry_after_s=1))
        await self._scope.close()
