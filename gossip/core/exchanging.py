"""Push/pull: two members exchange all they believe, over a stream. Pure.

Theory: repairs what gossip missed, and is how a member joins. Deaths from a push/pull count as suspicion only, so that
the buried get one more chance; leaves are taken first. Before anything is merged, everybody's protocol versions must
fit together; a joiner whose name is taken, or whose table has members that do not belong here, gets an error that says
so. The interval grows with the cluster, so that the load stays flat.
Source: memberlist's push/pull, serf's clocks in it; spec section 1.7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gossip.core.actions import StreamReply
from gossip.core.context import Context
from gossip.core.intents import Intents
from gossip.core.membership import Membership, unfit
from gossip.core.table import Record
from gossip.core.user_events import UserEvents
from gossip.errors import DecodeError
from gossip.model import Address, State
from gossip.wire.codec import decode, decode_exchange, encode, encode_exchange
from gossip.wire.messages import Dead, Entry, Error, Exchange, Kind, Suspect

_FLAT_UP_TO = 32


def interval_scale(members: int) -> int:
    """How many times longer the interval is than configured: 1 up to 32 members, then one more per doubling."""
    if members <= _FLAT_UP_TO:
        return 1
    return math.ceil(math.log2(members) - math.log2(_FLAT_UP_TO)) + 1


class Exchanger:
    """Owns the exchanges in flight."""

    def __init__(
        self, context: Context, membership: Membership, intents: Intents, user_events: UserEvents
    ) -> None:
        self.context = context
        self.membership = membership
        self.intents = intents
        self.user_events = user_events
        self._open: dict[int, Callable[[str], None]] = {}
        self.has_joined = False

    def start(self) -> None:
        """Begin at a random moment of the first interval."""
        interval = self.context.timing.exchange.interval_s
        if interval:
            self.context.after(interval * self.context.rng.random(), self._tick)

    def _tick(self) -> None:
        context = self.context
        if self.membership.departing:
            return
        context.after(context.timing.exchange.interval_s * interval_scale(context.table.living), self._tick)
        for record in context.table.pick(1, lambda record: record.state is State.ALIVE):
            self.open(record.address, join=False, done=_ignore)

    def open(self, address: Address, *, join: bool, done: Callable[[str], None]) -> None:
        """Exchange with whoever listens there; `done` gets an empty text or what went wrong."""
        context = self.context
        try:
            frame = self._frame(join=join)
        except DecodeError as error:
            done(f"cannot encode the own state: {error}")
            return
        op = context.next_op()
        self._open[op] = done
        context.open_stream(op, address, frame, context.timing.exchange.timeout_s)

    def _frame(self, *, join: bool) -> bytes:
        context = self.context
        head = Exchange(
            node=context.name,
            join=join,
            member_time=context.member_clock.time,
            event_time=context.event_clock.time,
            query_time=context.query_clock.time,
        )
        entries = [_entry(record) for record in context.table.records.values()]
        data = encode_exchange(head, entries, self.user_events.recent())
        return context.envelope.wrap_frame(data, packed=True)

    def hear_stream(self, op: int, data: bytes | None, error: str) -> bool:
        """The outcome of an exchange that was opened here; False when `op` is not one."""
        done = self._open.pop(op, None)
        if done is None:
            return False
        if data is not None:
            error = self._merge_reply(data)
        if error:
            self.context.metrics.exchanges_failed += 1
        else:
            self.context.metrics.exchanges += 1
        done(error)
        return True

    def _merge_reply(self, frame: bytes) -> str:
        try:
            data, _ = self.context.envelope.unwrap_frame(frame)
            if data[:1] == bytes([Kind.ERROR]):
                message = decode(data)
                return message.text if isinstance(message, Error) else "refused"
            head, entries, events = decode_exchange(data)
        except DecodeError as error:
            self.context.metrics.dropped(error.reason)
            return f"the reply is not understood ({error})"
        refusal = self._objection(entries, join=False)
        if not refusal:
            self._merge(head, entries)
            if not self.has_joined and self.context.config.ignore_old_events:
                self.user_events.ignore_before_now()
            self.has_joined = True
            self.user_events.hear_old(events)
        return refusal

    def hear_request(self, stream: int, data: bytes) -> None:
        """Somebody opened an exchange. Raises: DecodeError."""
        head, entries, events = decode_exchange(data)
        refusal = self._objection(entries, join=head.join) or self._join_refused(head, entries)
        if refusal:
            self.context.metrics.refuse("exchange")
            reply = self.context.envelope.wrap_frame(encode(Error(text=refusal[:1000])))
            self.context.actions.append(StreamReply(stream, reply))
            return
        # The answer is what was believed before, so that a stale word about the peer reaches it and is refuted.
        self.context.actions.append(StreamReply(stream, self._frame(join=False)))
        self.context.metrics.exchanges += 1
        self._merge(head, entries)
        self.user_events.hear_old(events)

    def _join_refused(self, head: Exchange, entries: Sequence[Entry]) -> str:
        if not head.join:
            return ""
        if head.node == self.context.name and any(
            (entry.host, entry.port) == self.context.address for entry in entries if entry.node == head.node
        ):
            return "this address is the member itself"
        if self.membership.me.leaving:
            return f"{self.context.name!r} is leaving; join through another member"
        own = next((entry for entry in entries if entry.node == head.node), None)
        if own is None:
            return "the joiner does not introduce itself"
        if own.state >= State.DEAD:
            return ""
        return self.membership.claim_refused(own)

    def _objection(self, entries: Sequence[Entry], *, join: bool) -> str:
        """Why nothing may be merged: versions that do not fit together, or strangers in a joiner's table."""
        living = [entry for entry in entries if entry.state <= State.SUSPECT]
        own = [record.versions for record in self.context.table.all_living()]
        lowest = max([*(versions.min for versions in own), *(entry.version_min for entry in living)])
        highest = min([*(versions.max for versions in own), *(entry.version_max for entry in living)])
        for name, version in (
            *((entry.node, entry.version) for entry in living),
            *((record.name, record.versions.current) for record in self.context.table.all_living()),
        ):
            if not lowest <= version <= highest:
                return f"{name!r} speaks protocol {version}; all members here understand {lowest}-{highest}"
        if join:
            for entry in living:
                reason = unfit(entry, self.context.config.required_tags)
                if reason:
                    return f"{entry.node!r} does not belong here: {reason}"
        return ""

    def _merge(self, head: Exchange, entries: Sequence[Entry]) -> None:
        context, membership = self.context, self.membership
        for clock, time in (
            (context.member_clock, head.member_time),
            (context.event_clock, head.event_time),
            (context.query_clock, head.query_time),
        ):
            clock.witness(time - 1)
        for entry in entries:
            if entry.state == State.LEFT:
                membership.hear_dead(Dead(incarnation=entry.incarnation, node=entry.node, accuser=entry.node))
                self.intents.note_left(entry.node, entry.status_time + 1)
        for entry in entries:
            if entry.state == State.ALIVE:
                membership.hear_alive(entry)
            elif entry.state != State.LEFT:
                # we become the accuser, so that ours is one voice; against ourselves it is the sender's word
                accuser = head.node if entry.node == context.name else context.name
                membership.hear_suspect(
                    Suspect(incarnation=entry.incarnation, node=entry.node, accuser=accuser)
                )
            if entry.state != State.LEFT and entry.status_time:
                self.intents.note_join(entry.node, entry.status_time)


def _entry(record: Record) -> Entry:
    return Entry(
        incarnation=record.facts_incarnation if record.state is State.ALIVE else record.incarnation,
        node=record.name,
        member_id=record.member_id,
        host=record.host,
        port=record.port,
        meta=record.meta,
        version_min=record.versions.min,
        version_max=record.versions.max,
        version=record.versions.current,
        state=int(record.state),
        status_time=record.status_time,
    )


def _ignore(_error: str) -> None:
    """The metrics have it."""
