"""What the parts of the core share: time, randomness, timers, the outbox, the queues, and how a packet is filled. Pure.

Theory: the parts call each other directly and write actions into one outbox, which the core hands out after each input.
`now` is set once per input. Every packet that goes out takes along broadcasts as far as it has room: first what is
about members, then intents, queries and user events.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from gossip import limits
from gossip.config import Config
from gossip.core.actions import Action, Emit, Notice, OpenStream, Persist, Send
from gossip.core.awareness import Awareness
from gossip.core.clock import LamportClock
from gossip.core.metrics import Metrics
from gossip.core.queue import BroadcastQueue, transmit_limit
from gossip.core.table import Record, Table
from gossip.core.timers import Timers
from gossip.model import Address, Event, EventKind
from gossip.wire.codec import COMPOUND_BYTES, PART_BYTES, encode_compound
from gossip.wire.envelope import Envelope


class Context:
    """Shared by the parts of one member's core, owned by the Core."""

    def __init__(self, config: Config, envelope: Envelope, rng: random.Random) -> None:
        self.config = config
        self.timing = config.timing
        self.name = config.name
        self.address: Address = ("", 0)
        self.envelope = envelope
        self.rng = rng
        self.now = 0.0
        self.actions: list[Action] = []
        self.timers = Timers()
        self.metrics = Metrics()
        self.awareness = Awareness(config.timing.probing.awareness_max)
        self.table = Table(config.name, rng)
        self.member_clock = LamportClock()
        self.event_clock = LamportClock()
        self.query_clock = LamportClock()
        self.about_members = BroadcastQueue()
        self.about_users = tuple(BroadcastQueue(limits.BROADCASTS_MAX) for _ in range(3))
        self.intents, self.queries, self.user_events = self.about_users
        self.on_news: Callable[[], None] = _nothing
        """Called when a broadcast was queued: the spreader starts ticking."""
        self.has_left = False
        """The snapshot ends with the leave: what is heard afterwards must not undo it."""
        self._sequence = rng.randrange(1 << 32)
        self._op = 0

    def next_sequence(self) -> int:
        """A number for a ping or a query; starts at a random place, so that old answers do not fit."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return self._sequence

    def next_op(self) -> int:
        """A negative number for an operation of the core's own; users' numbers are positive."""
        self._op -= 1
        return self._op

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Plan a call that is never cancelled."""
        self.timers.at(self.now + delay_s, call)

    @property
    def has_news(self) -> bool:
        """Whether any broadcast waits."""
        return bool(self.about_members or self.intents or self.queries or self.user_events)

    @property
    def queue_depth(self) -> int:
        """Broadcasts waiting."""
        return len(self.about_members) + sum(len(queue) for queue in self.about_users)

    def broadcast(
        self, queue: BroadcastQueue, key: str, data: bytes, done: Callable[[], None] | None = None
    ) -> None:
        """Queue news for everybody."""
        queue.push(key, data, done)
        self.on_news()

    def send(self, address: Address, parts: list[bytes]) -> None:
        """One packet with these messages and whatever broadcasts still fit."""
        budget = self.envelope.budget_bytes - COMPOUND_BYTES - sum(map(len, parts)) - PART_BYTES * len(parts)
        if self.has_news:
            parts = parts + self._fill(budget, limits.COMPOUND_PARTS_MAX - len(parts))
        if parts:
            self._send(address, encode_compound(parts))

    def _fill(self, budget: int, parts_max: int) -> list[bytes]:
        spreading = self.timing.spreading
        limit = transmit_limit(spreading.retransmit_mult, spreading.retransmit_floor, self.table.living)
        parts: list[bytes] = []
        for queue in (self.about_members, *self.about_users):
            if queue:
                more = queue.take(budget, parts_max - len(parts), limit)
                budget -= sum(map(len, more)) + PART_BYTES * len(more)
                parts += more
        return parts

    def _send(self, address: Address, data: bytes) -> None:
        packet = self.envelope.wrap(data)
        self.metrics.packets_out += 1
        self.metrics.bytes_out += len(packet)
        self.actions.append(Send(address, packet))

    def open_stream(self, op: int, address: Address, frame: bytes, timeout_s: float) -> None:
        """Send one frame over a stream and await one."""
        self.metrics.streams_out += 1
        self.metrics.stream_bytes_out += len(frame)
        self.actions.append(OpenStream(op, address, frame, timeout_s))

    def emit(self, kind: EventKind, record: Record) -> None:
        """Tell event readers about a member."""
        self.actions.append(Emit(Event(kind=kind, member=record.member())))

    def persist(self, line: str, *, sync: bool = False) -> None:
        """Append to the snapshot, if there is one."""
        if self.config.snapshot_path and not self.has_left:
            self.actions.append(Persist(line, sync))

    def notice(self, kind: str, member: str, text: str) -> None:
        """Something for the log."""
        self.actions.append(Notice(kind, member, text))


def _nothing() -> None:
    """Before the spreader is there."""
