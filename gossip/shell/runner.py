"""Runs one core: the clock, the network, the files and the readers around it.

Theory: single-threaded on the loop. Every input goes to the core with the loop's monotonic time, and its actions are
carried out at once, in order. Before a tick all waiting packets are handed over. Nothing here waits for a reader, a
disk or a peer: events go to bounded feeds, lines to a background writer, streams and query handlers to owned tasks.
An error in the core is a bug: it is logged with the input that caused it, and the member goes on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from gossip.core import actions as a
from gossip.core.core import Core
from gossip.core.snapshot import Snapshot
from gossip.errors import TooLarge
from gossip.model import Address, QueryResult
from gossip.shell import files
from gossip.shell.feeds import Feed
from gossip.shell.scope import Scope
from gossip.shell.snapshots import SnapshotWriter
from gossip.shell.transport import StreamFailed, Transport

log = logging.getLogger("gossip")

QueryHandler = Callable[[str, bytes, str], Awaitable[bytes | None] | bytes | None]
"""Answers a query: gets its name, payload and sender; None means no answer."""

_LEVELS = {
    "buried": logging.WARNING,
    "conflict": logging.ERROR,
    "udp_blocked": logging.WARNING,
    "late": logging.WARNING,
}
_HANDLERS_MAX = 64
_STREAMS_OUT_MAX = 128


class Runner:
    """Owns the transport, the timer and the tasks of one member."""

    def __init__(self, core: Core, transport: Transport) -> None:
        self.core = core
        self.transport = transport
        self.scope = Scope(f"gossip-{core.config.name}")
        self.feeds: list[Feed] = []
        self.on_query: QueryHandler | None = None
        self.stopped = asyncio.Event()
        self.send_errors = 0
        self.handlers_refused = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._replies: dict[int, asyncio.Future[bytes | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")
        self._op = 0
        self._stream = 0
        self._streams_out = 0
        self._handlers = 0
        self._loop = asyncio.get_running_loop()
        self._snapshots: SnapshotWriter | None = None
        if core.config.snapshot_path:
            self._snapshots = SnapshotWriter(core.config.snapshot_path, core.snapshot_lines)

    async def open(self) -> Address:
        """Listen; packets that arrive before `start` are dropped. Raises: OSError."""
        return await self.transport.open(self._on_packet, self._on_frame, self.core.context.envelope.head)

    def start(self, address: Address, restored: Snapshot | None) -> None:
        """Be a member."""
        if self._snapshots is not None:
            self.scope.spawn(self._snapshots.run(), "snapshot")
        self.act(self.core.start(self._loop.time(), address, restored))

    # ---- inputs

    def act(self, actions: list[a.Action]) -> None:
        """Carry out actions and plan the next tick."""
        for action in actions:
            if type(action) is a.Send:
                if not self.transport.send(action.address, action.data):
                    self.send_errors += 1
            else:
                self._carry_out(action)
        self._plan()

    def command(self, method: Callable[..., list[a.Action]], *arguments: Any, **options: Any) -> None:
        """Give the core a command, with the time."""
        self.act(method(*arguments, now=self._loop.time(), **options))

    def _guarded(self, what: str, method: Callable[..., list[a.Action]], *arguments: Any) -> None:
        try:
            self.command(method, *arguments)
        except Exception:
            log.exception("gossip of %s failed at %s; the input was dropped", self.core.config.name, what)
            self._plan()

    def _on_packet(self, data: bytes, source: Address) -> None:
        if self.core.context.address[1]:
            self._guarded(f"a packet of {len(data)} bytes from {source}", self.core.on_datagram, data, source)

    async def _on_frame(self, data: bytes, source: Address) -> bytes | None:
        if not self.core.context.address[1]:
            return None
        self._stream += 1
        number = self._stream
        reply: asyncio.Future[bytes | None] = self._loop.create_future()
        self._replies[number] = reply
        try:
            what = f"a frame of {len(data)} bytes from {source}"
            self._guarded(what, self.core.on_stream_request, number, data, source)
            return reply.result() if reply.done() else None
        finally:
            del self._replies[number]

    def _plan(self) -> None:
        due = self.core.deadline_s()
        if due is None or due == self._timer_s or self.stopped.is_set():
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = due
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_s = None, float("inf")
        self.transport.drain()
        self._guarded("a tick", self.core.tick)

    # ---- commands that end later

    def expect(self) -> tuple[int, asyncio.Future[Any]]:
        """A number for a command, and the future of its outcome."""
        self._op += 1
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[self._op] = future
        return self._op, future

    def forget(self, op: int) -> None:
        """The caller of a command went away."""
        self._waiting.pop(op, None)

    def _settle(self, op: int, outcome: str | QueryResult) -> None:
        future = self._waiting.pop(op, None)
        if future is not None and not future.done():
            future.set_result(outcome)

    # ---- actions

    def _carry_out(self, action: a.Action) -> None:
        match action:
            case a.Emit():
                for feed in self.feeds:
                    feed.push(action.event)
            case a.OpenStream():
                self._open_stream(action)
            case a.StreamReply():
                reply = self._replies.get(action.stream)
                if reply is not None and not reply.done():
                    reply.set_result(action.data)
            case a.Persist():
                if self._snapshots is not None:
                    self._snapshots.append(action.line, sync=action.sync)
            case a.SaveKeys():
                self.scope.spawn(self._save_keys(action), "save keys")
            case a.Asked():
                self._ask(action)
            case a.JoinDone():
                self._settle(action.op, action.error)
            case a.QueryDone():
                self._settle(action.op, action.result)
            case a.Stopped():
                self.stopped.set()
            case a.Notice():
                level = _LEVELS.get(action.kind, logging.INFO)
                log.log(
                    level, "%s: %s %s: %s", self.core.config.name, action.kind, action.member, action.text
                )

    def _open_stream(self, action: a.OpenStream) -> None:
        if self._streams_out >= _STREAMS_OUT_MAX:
            # not from inside the core's own step
            self._loop.call_soon(
                self._guarded,
                "a stream",
                self.core.on_stream_result,
                action.op,
                None,
                "too many open streams",
            )
            return
        self._streams_out += 1
        if self.scope.spawn(self._exchange(action), f"stream {action.op}") is None:
            self._streams_out -= 1

    async def _exchange(self, action: a.OpenStream) -> None:
        data: bytes | None = None
        error = ""
        try:
            data = await self.transport.exchange(action.address, action.data, action.timeout_s)
        except StreamFailed as failure:
            error = str(failure)
        finally:
            self._streams_out -= 1
        self._guarded("a stream's outcome", self.core.on_stream_result, action.op, data, error)

    async def _save_keys(self, action: a.SaveKeys) -> None:
        error = ""
        path = self.core.config.keyring_path
        if path:
            try:
                await asyncio.to_thread(files.write_keys, path, action.keys)
            except OSError as failure:
                error = f"cannot write the keyring file: {failure.strerror}"
                log.error("%s: keyring file %s cannot be written: %s", self.core.config.name, path, failure)
        self._guarded("saved keys", self.core.keys_saved, action.handle, error)

    def _ask(self, action: a.Asked) -> None:
        if self.on_query is None:
            return
        if self._handlers >= _HANDLERS_MAX:
            self.handlers_refused += 1
            return
        self._handlers += 1
        if self.scope.spawn(self._handle(self.on_query, action), f"query {action.name}") is None:
            self._handlers -= 1

    async def _handle(self, handler: QueryHandler, action: a.Asked) -> None:
        try:
            async with asyncio.timeout(self.core.querying.default_timeout_s()):
                answer = handler(action.name, action.payload, action.source)
                payload = await answer if inspect.isawaitable(answer) else answer
            self.command(self.core.answer, action.handle, payload)
        except (TooLarge, TimeoutError) as error:
            log.error("query %r of %s was not answered: %s", action.name, action.source, error or "too slow")
        finally:
            self._handlers -= 1

    async def close(self) -> None:
        """Stop everything; waiting commands end with an error. Idempotent."""
        self.stopped.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.transport.close()
        await self.scope.close()
        if self._snapshots is not None:
            await self._snapshots.close()
        for future in self._waiting.values():
            future.cancel()
        self._waiting.clear()
        for feed in self.feeds:
            feed.end()
