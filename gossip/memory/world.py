"""Many members in one process and in virtual time: a heap of events, one seed, no asyncio. Pure.

Theory: everything random (links, members' choices, nonces) comes from the seed, and events at one moment run in the
order in which they were planned, so that a run repeats exactly, in any process. A member may be stopped (SIGSTOP:
packets wait in a bounded buffer, timers are late), killed, and started again. Time moves only from event to event.
Not here: checking anything (the tests watch through `on_emit` and `on_packet`).
Source: deterministic simulation as FoundationDB does it; spec section 2.4 route A.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from gossip.config import Config
from gossip.core import actions as a
from gossip.core.core import Core
from gossip.core.snapshot import Snapshot, parse_snapshot
from gossip.memory.links import Links
from gossip.model import Address, Event, QueryResult

BUFFER_PACKETS = 256
"""Packets that wait for a stopped member; a real socket buffer holds about as many of our size."""


class Host:
    """One simulated member: a core, its address, and what a process and a disk would hold."""

    def __init__(self, world: World, config: Config, address: Address, seed: int) -> None:
        self.world = world
        self.number = world.next_number()
        """Tells the lives of one member apart."""
        self.address = address
        self.rng = random.Random(seed)
        self.core = Core(config, self.rng, self.rng.randbytes)
        self.up = True
        self.stopped = False
        self.buffer: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.lines: list[str] = []
        self.joins: dict[int, str] = {}
        self.results: dict[int, QueryResult] = {}
        self.events: list[Event] = []
        self.has_left = False
        self.planned_s = float("inf")
        self.answers: Callable[[str, bytes], bytes | None] = lambda name, payload: b"ok"
        self._op = 0

    @property
    def name(self) -> str:
        """The member's name."""
        return self.core.config.name

    def next_op(self) -> int:
        """A number for a command."""
        self._op += 1
        return self._op

    def do(self, method: Callable[..., list[a.Action]], *arguments: Any, **options: Any) -> None:
        """Call the core with the time, and carry out what it asks for."""
        self.world.run_actions(self, method(*arguments, now=self.world.now, **options))

    def snapshot(self) -> Snapshot:
        """What the next life of this member finds on its disk."""
        return parse_snapshot(self.lines)


class World:
    """The members, the network and the time."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.links = Links(random.Random(self.rng.randrange(1 << 62)))
        self.now = 1000.0
        self.hosts: dict[str, Host] = {}
        self.by_address: dict[Address, Host] = {}
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._streams: dict[int, tuple[Host, int]] = {}
        self.on_emit: Callable[[Host, Event], None] = lambda host, event: None
        self.on_packet: Callable[[Host, Address, bytes], None] = lambda host, address, data: None
        self.on_notice: Callable[[Host, a.Notice], None] = lambda host, notice: None
        self.steps = 0

    # ---- members

    def next_number(self) -> int:
        """Counts up."""
        self._count += 1
        return self._count

    def add(self, config: Config, address: Address, restored: Snapshot | None = None) -> Host:
        """Start a member; one of the same name or address before it must be down."""
        host = Host(self, config, address, self.rng.randrange(1 << 62))
        self.hosts[host.name] = host
        self.by_address[address] = host
        self.run_actions(host, host.core.start(self.now, address, restored))
        return host

    def kill(self, host: Host) -> None:
        """The process dies at once."""
        host.up = False
        host.buffer.clear()
        if self.by_address.get(host.address) is host:
            del self.by_address[host.address]

    def stop(self, host: Host, for_s: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        host.stopped = True
        self.at(self.now + for_s, self._resume, host)

    def _resume(self, host: Host) -> None:
        host.stopped = False
        waiting, host.buffer = host.buffer, []
        for call, arguments in waiting:
            call(host, *arguments)
        host.planned_s = float("inf")
        if host.up:
            self._plan(host)

    # ---- time

    def at(self, when_s: float, call: Callable[..., None], *arguments: Any) -> None:
        """Plan a call."""
        self._count += 1
        heapq.heappush(self._heap, (when_s, self._count, call, arguments))

    def run(self, for_s: float, until: Callable[[], bool] | None = None, check_every_s: float = 0.0) -> bool:
        """Let time pass; stops early once `until` holds (looked at after each event, or each so many seconds)."""
        end = self.now + for_s
        next_check = self.now
        while self._heap and self._heap[0][0] <= end:
            self.now, _, call, arguments = heapq.heappop(self._heap)
            self.steps += 1
            call(*arguments)
            if until is not None and self.now >= next_check:
                next_check = self.now + check_every_s
                if until():
                    return True
        self.now = end
        return until is not None and until()

    def _plan(self, host: Host) -> None:
        due = host.core.deadline_s()
        if due is not None and due < host.planned_s:
            host.planned_s = due
            self.at(max(due, self.now), self._tick, host, due)

    def _tick(self, host: Host, due: float) -> None:
        if due != host.planned_s or not host.up or host.stopped:
            return
        host.planned_s = float("inf")
        host.do(host.core.tick)

    # ---- actions

    def run_actions(self, host: Host, actions: list[a.Action]) -> None:
        """Carry out what a core asked for."""
        for action in actions:
            kind = type(action)
            if kind is a.Send:
                self._send(host, action)  # type: ignore[arg-type]
            else:
                self._carry_out(host, action)
        if host.up and not host.stopped:
            self._plan(host)

    def _send(self, host: Host, action: a.Send) -> None:
        self.on_packet(host, action.address, action.data)
        for delay in self.links.carry(host.address, action.address):
            self.at(self.now + delay, self._deliver, host.address, action.address, action.data)

    def _deliver(self, source: Address, target: Address, data: bytes) -> None:
        host = self.by_address.get(target)
        if host is not None:
            self._hand(host, World._datagram, data, source)

    def _hand(self, host: Host, call: Callable[..., None], *arguments: Any) -> None:
        if not host.stopped:
            call(host, *arguments)
        elif len(host.buffer) < BUFFER_PACKETS:
            host.buffer.append((call, arguments))

    @staticmethod
    def _datagram(host: Host, data: bytes, source: Address) -> None:
        if host.up:
            host.do(host.core.on_datagram, data, source)

    def _carry_out(self, host: Host, action: a.Action) -> None:
        match action:
            case a.OpenStream():
                self._open_stream(host, action)
            case a.StreamReply():
                self._reply(host, action)
            case a.Emit():
                host.events.append(action.event)
                self.on_emit(host, action.event)
            case a.Persist():
                host.lines.append(action.line)
            case a.SaveKeys():
                self.at(self.now, self._hand, host, World._saved, action.handle)
            case a.Asked():
                self.at(self.now, self._hand, host, World._answer, action)
            case a.JoinDone():
                host.joins[action.op] = action.error
            case a.QueryDone():
                host.results[action.op] = action.result
            case a.Stopped():
                host.has_left = True
                self.at(self.now, self.kill, host)
            case a.Notice():
                self.on_notice(host, action)

    @staticmethod
    def _saved(host: Host, handle: int) -> None:
        if host.up:
            host.do(host.core.keys_saved, handle, "")

    @staticmethod
    def _answer(host: Host, asked: a.Asked) -> None:
        if host.up:
            host.do(host.core.answer, asked.handle, host.answers(asked.name, asked.payload))

    # ---- streams

    def _open_stream(self, host: Host, action: a.OpenStream) -> None:
        self._count += 1
        number = self._count
        self._streams[number] = (host, action.op)
        self.at(self.now + action.timeout_s, self._finish, number, None, "no answer in time")
        target = self.by_address.get(action.address)
        delay = self.links.stream_delay_s()
        if not self.links.streams_pass(host.address, action.address):
            return  # nothing comes back: the timeout ends it
        if target is None:
            self.at(self.now + delay, self._finish, number, None, "connection refused")
        else:
            self.at(self.now + delay, self._hand, target, World._request, number, action.data, host.address)

    @staticmethod
    def _request(host: Host, number: int, data: bytes, source: Address) -> None:
        if host.up and number in host.world._streams:
            host.do(host.core.on_stream_request, number, data, source)

    def _reply(self, host: Host, action: a.StreamReply) -> None:
        opened = self._streams.get(action.stream)
        if opened is None or not self.links.streams_pass(host.address, opened[0].address):
            return
        delay = self.links.stream_delay_s()
        error = "" if action.data is not None else "closed without an answer"
        self.at(self.now + delay, self._finish, action.stream, action.data, error)

    def _finish(self, number: int, data: bytes | None, error: str) -> None:
        opened = self._streams.pop(number, None)
        if opened is not None:
            self._hand(opened[0], World._result, opened[1], data, error)

    @staticmethod
    def _result(host: Host, op: int, data: bytes | None, error: str) -> None:
        if host.up:
            host.do(host.core.on_stream_result, op, data, error)
