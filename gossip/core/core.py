"""One member's whole protocol: inputs with the time in, an ordered list of actions out. Pure.

Theory: every input first looks whether this process was away (a timer is overdue), then does its work; timers run only
in `tick`. The shell must hand over all packets that wait before it calls `tick`, so that nobody is judged on unread
mail, and carry out the actions in their order. `deadline_s()` says when to tick next.
The parts: membership (beliefs), prober, spreader, exchanger (push/pull), intents, leaver, housekeeper, user events,
querying, keys. They share a Context.
Source: spec section 1.16; the shape follows etcd's raft: input, step, ready.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from gossip import limits
from gossip.config import Config, validate
from gossip.core.actions import Action, JoinDone, StreamReply
from gossip.core.context import Context
from gossip.core.exchanging import Exchanger
from gossip.core.housekeeping import Housekeeper
from gossip.core.intents import Intents
from gossip.core.keys import Keys
from gossip.core.leaving import Leaver
from gossip.core.membership import Membership
from gossip.core.metrics import Metrics
from gossip.core.probing import Prober
from gossip.core.querying import Querying
from gossip.core.snapshot import Snapshot, alive_line, clock_lines
from gossip.core.spreading import Spreader
from gossip.core.tags import encode_tags
from gossip.core.user_events import UserEvents
from gossip.errors import DecodeError
from gossip.model import Address, Member
from gossip.wire import messages as m
from gossip.wire.codec import decode, encode, split
from gossip.wire.envelope import Envelope
from gossip.wire.keyring import Keyring

_CLOCKS_EVERY_S = 0.5


class Core:
    """One member. Every public method but the readers returns the actions that it caused."""

    def __init__(self, config: Config, rng: random.Random, entropy: Callable[[int], bytes]) -> None:
        validate(config)
        keyring = Keyring(config.keys)
        envelope = Envelope(
            config.label,
            keyring,
            entropy,
            verify_incoming=config.verify_incoming,
            verify_outgoing=config.verify_outgoing,
        )
        self.config = config
        self.keyring = keyring
        self.context = context = Context(config, envelope, rng)
        self.membership = Membership(context, encode_tags(config.tags))
        self.prober = Prober(context, self.membership)
        self.spreader = Spreader(context, self.membership)
        self.intents = Intents(context, self.membership)
        self.user_events = UserEvents(context)
        self.exchanger = Exchanger(context, self.membership, self.intents, self.user_events)
        self.leaver = Leaver(context, self.membership, self.intents)
        self.housekeeper = Housekeeper(context, self.membership, self.exchanger)
        self.querying = Querying(context)
        self.keys = Keys(context, self.querying)
        self._told_clocks: tuple[int, int, int] | None = None
        self._late_at_s = float("-inf")
        self._handlers = self._make_handlers()

    def _make_handlers(self) -> dict[type[m.Message], Callable[[Any, Address, bool], None]]:
        membership, intents, prober = self.membership, self.intents, self.prober
        return {
            m.Ping: lambda message, source, sealed: prober.hear_ping(message, source),
            m.IndirectPing: lambda message, source, sealed: prober.hear_indirect_ping(message, source),
            m.Ack: lambda message, source, sealed: prober.hear_ack(message, source),
            m.Nack: lambda message, source, sealed: prober.hear_nack(message, source),
            m.Alive: lambda message, source, sealed: membership.hear_alive(message),
            m.Suspect: lambda message, source, sealed: membership.hear_suspect(message),
            m.Dead: lambda message, source, sealed: membership.hear_dead(message),
            m.JoinIntent: lambda message, source, sealed: intents.hear_join(message),
            m.LeaveIntent: lambda message, source, sealed: intents.hear_leave(message),
            m.UserEventMessage: lambda message, source, sealed: self.user_events.hear(message),
            m.Query: lambda message, source, sealed: self.querying.hear(message, sealed=sealed),
            m.QueryReply: lambda message, source, sealed: self.querying.hear_reply(message),
            m.Relay: lambda message, source, sealed: self.querying.hear_relay(message),
        }

    # ---- inputs

    def start(self, now: float, address: Address, restored: Snapshot | None = None) -> list[Action]:
        """Begin to be a member, reachable at this address; clocks go on where a snapshot says."""
        context = self.context
        context.now = now
        context.address = address
        if restored is not None:
            context.member_clock.witness(restored.member_time)
            context.event_clock.witness(restored.event_time)
            context.query_clock.witness(restored.query_time)
            self.user_events.seen.floor = restored.event_time + 1 if restored.event_time else 0
            self.querying.seen.floor = restored.query_time + 1 if restored.query_time else 0
        self.membership.start()
        self.prober.start()
        self.exchanger.start()
        self.housekeeper.start()
        if self.config.snapshot_path:
            context.after(_CLOCKS_EVERY_S, self._tell_clocks)
        return self._done()

    def on_datagram(self, data: bytes, source: Address, now: float) -> list[Action]:
        """A packet arrived. Whatever is wrong with it is counted and dropped."""
        self._enter(now)
        context, metrics = self.context, self.context.metrics
        metrics.packets_in += 1
        metrics.bytes_in += len(data)
        try:
            plain, sealed = context.envelope.unwrap(data)
            parts, lost = split(plain)
        except DecodeError as error:
            metrics.dropped(error.reason)
            return self._done()
        metrics.parts_lost += lost
        for part in parts:
            try:
                message = decode(part)
            except DecodeError as error:
                metrics.dropped(error.reason)
                continue
            handler = self._handlers.get(type(message))
            if handler is None:
                metrics.refuse("not_for_packets")
            else:
                handler(message, source, sealed)
        return self._done()

    def on_stream_request(self, stream: int, data: bytes, source: Address, now: float) -> list[Action]:
        """A whole frame arrived on an inbound stream; it is answered by a StreamReply."""
        self._enter(now)
        metrics = self.context.metrics
        metrics.streams_in += 1
        metrics.stream_bytes_in += len(data)
        try:
            self._serve(stream, data)
        except DecodeError as error:
            metrics.dropped(error.reason)
            self.context.actions.append(StreamReply(stream, None))
        return self._done()

    def _serve(self, stream: int, data: bytes) -> None:
        envelope = self.context.envelope
        plain, _ = envelope.unwrap_frame(data)
        if plain[:1] == bytes([m.Kind.PUSH_PULL]):
            self.exchanger.hear_request(stream, plain)
            return
        message = decode(plain)
        reply = None
        if isinstance(message, m.Ping) and message.node == self.config.name:
            reply = envelope.wrap_frame(encode(m.Ack(seq=message.seq)))
        self.context.actions.append(StreamReply(stream, reply))

    def on_stream_result(self, op: int, data: bytes | None, error: str, now: float) -> list[Action]:
        """The outcome of an OpenStream: a frame, or what went wrong."""
        self._enter(now)
        self.context.metrics.stream_bytes_in += len(data or b"")
        if not self.prober.hear_stream(op, data):
            self.exchanger.hear_stream(op, data, error)
        return self._done()

    def tick(self, now: float) -> list[Action]:
        """Run what is due."""
        self._enter(now)
        self.context.timers.fire(now)
        return self._done()

    # ---- commands

    def join(self, op: int, address: Address, now: float) -> list[Action]:
        """Join through whoever listens there; ends with JoinDone(op)."""
        self._enter(now)

        def done(error: str) -> None:
            if not error:
                self.intents.announce_join()
            self.context.actions.append(JoinDone(op, error))

        self.exchanger.open(address, join=True, done=done)
        return self._done()

    def leave(self, now: float) -> list[Action]:
        """Leave on purpose; ends with Stopped."""
        self._enter(now)
        self.leaver.begin()
        return self._done()

    def force_leave(self, name: str, now: float) -> list[Action]:
        """Declare that a failed member will not come back."""
        self._enter(now)
        self.intents.force_leave(name)
        return self._done()

    def set_tags(self, tags: Mapping[str, str], now: float) -> list[Action]:
        """Change this member's tags. Raises: TooLarge."""
        meta = encode_tags(tags)
        self._enter(now)
        self.membership.set_meta(meta)
        return self._done()

    def user_event(self, name: str, payload: bytes, now: float) -> list[Action]:
        """Send an event to everybody. Raises: TooLarge."""
        self._enter(now)
        self.user_events.send(name, payload)
        return self._done()

    def query(self, op: int, name: str, payload: bytes, now: float, **options: Any) -> list[Action]:
        """Ask all members; ends with QueryDone(op). Options: see Querying.ask. Raises: TooLarge."""
        self._enter(now)
        options.setdefault("tags", {})
        self.querying.ask(op, name, payload, **options)
        return self._done()

    def answer(self, handle: int, payload: bytes | None, now: float) -> list[Action]:
        """This member's answer to an Asked. Raises: TooLarge."""
        self._enter(now)
        self.querying.answer(handle, payload)
        return self._done()

    def keys_saved(self, handle: int, error: str, now: float) -> list[Action]:
        """A SaveKeys was carried out (error empty) or failed."""
        self._enter(now)
        self.keys.saved(handle, error)
        return self._done()

    # ---- readers

    def deadline_s(self) -> float | None:
        """When `tick` is to be called next."""
        return self.context.timers.next_s()

    def members(self) -> tuple[Member, ...]:
        """Everybody known, sorted by name, tombstones included."""
        return self.context.table.members()

    def metrics(self) -> Metrics:
        """Counters, with the gauges brought up to date."""
        context, metrics = self.context, self.context.metrics
        metrics.health_score = context.awareness.score
        metrics.queue_depth = context.queue_depth
        metrics.broadcasts_dropped = sum(queue.dropped for queue in context.about_users)
        metrics.members_living = context.table.living
        metrics.tombstones = context.table.tombstones
        return metrics

    def snapshot_lines(self) -> list[str]:
        """A compact snapshot of now."""
        context = self.context
        clocks = (context.member_clock.time, context.event_clock.time, context.query_clock.time)
        living = [record for record in context.table.all_living() if record is not self.membership.me]
        lines = [*clock_lines(*clocks), *(alive_line(record.name, record.address) for record in living)]
        return ["leave"] if self.leaver.begun else lines

    def check_invariants(self) -> None:
        """Raises: AssertionError when a part is not as it promises."""
        self.context.table.check_invariants()
        self.prober.check_invariants()
        for queue in self.context.about_users:
            assert len(queue) <= limits.BROADCASTS_MAX
        for record in self.context.table.records.values():
            assert (record.suspicion is not None) == (record.state == 1), (
                f"{record.name}: suspicion without suspect"
            )
            assert record.facts_incarnation <= record.incarnation, (
                f"{record.name}: facts of a later incarnation"
            )

    # ---- around each input

    def _enter(self, now: float) -> None:
        context = self.context
        due = context.timers.next_s()
        context.now = now
        if due is None or now - due <= limits.LATE_S:
            return
        if now - self._late_at_s > limits.LATE_S:  # else more input of the same late turn
            context.metrics.late += 1
            context.awareness.change(1)
            text = f"this process was away for {now - due:.1f} s; nobody is judged by it"
            context.notice("late", self.config.name, text)
            self.prober.abandon()
            self.membership.spare_suspects(now - due)
        self._late_at_s = now

    def _done(self) -> list[Action]:
        actions = self.context.actions
        self.context.actions = []
        return actions

    def _tell_clocks(self) -> None:
        context = self.context
        context.after(_CLOCKS_EVERY_S, self._tell_clocks)
        clocks = (context.member_clock.time, context.event_clock.time, context.query_clock.time)
        if clocks != self._told_clocks:
            self._told_clocks = clocks
            for line in clock_lines(*clocks):
                context.persist(line)
