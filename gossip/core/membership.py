"""What this member believes about members, and what it says about itself. Pure.

Theory: see states.py for the rules. A change that is news is broadcast once; news about an unknown name waits for its
introduction. Accusations against oneself are refuted with a higher incarnation, unless one is leaving. A name that is
claimed from a second address stays with its holder, unless the claimant proves to be the same member (same lasting id),
or the holder left or has been dead for long enough; the claim must be at a higher incarnation in any case.
Source: memberlist's state merge rules; spec section 1.4 and 1.6.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Mapping

from gossip import limits
from gossip.core.context import Context
from gossip.core.states import transition
from gossip.core.suspicion import Suspicion
from gossip.core.table import Record
from gossip.core.tags import decode_tags
from gossip.model import EventKind, State, Versions, valid_name
from gossip.wire.codec import encode
from gossip.wire.messages import Alive, Dead, Suspect

_EVENTS = {State.SUSPECT: EventKind.SUSPECT, State.DEAD: EventKind.FAILED, State.LEFT: EventKind.LEFT}
_OUTBID_WINDOW_S = 60.0


class Membership:
    """Owns what is in the table; the only writer of states and incarnations."""

    def __init__(self, context: Context, meta: bytes) -> None:
        self.context = context
        self.table = context.table
        self._meta = meta
        self.departing = False
        """Set once the own leave is being told: then nothing is refuted any more."""
        self.me = Record(context.name, 0.0)
        self._outbid_s: deque[float] = deque(maxlen=3)

    # ---- the member itself

    def start(self) -> None:
        """Enter oneself at incarnation 1."""
        config, me = self.context.config, self.me
        me.member_id, (me.host, me.port), me.meta = config.member_id, self.context.address, self._meta
        me.versions = Versions(current=config.protocol)
        me.incarnation = me.facts_incarnation = 1
        me.changed_s = self.context.now
        self.table.add(me)
        self.context.emit(EventKind.JOIN, me)
        self._broadcast(me.name, self.introduction(me))

    def set_meta(self, meta: bytes) -> None:
        """Tell everybody new tags, at the next incarnation."""
        self.me.meta = meta
        self._speak_up(self.me.incarnation + 1)
        self.context.emit(EventKind.UPDATE, self.me)

    def depart(self) -> None:
        """Bury oneself."""
        self.departing = True
        self.hear_dead(Dead(incarnation=self.me.incarnation, node=self.me.name, accuser=self.me.name))

    def _refute(self, accused_incarnation: int) -> None:
        if self.departing:
            return
        context = self.context
        context.metrics.refuted += 1
        context.awareness.change(1)
        self._speak_up(max(self.me.incarnation, accused_incarnation) + 1)

    def _speak_up(self, incarnation: int) -> None:
        self.me.incarnation = self.me.facts_incarnation = incarnation
        self._broadcast(self.me.name, self.introduction(self.me))

    # ---- what is heard

    def hear_alive(self, message: Alive) -> None:
        """Somebody lives, at this address and with these tags."""
        record = self.table.get(message.node)
        reason = self._objection(message, record)
        if reason:
            self.context.metrics.refuse(reason)
            return
        if record is self.me:
            self._hear_alive_of_me(message)
        elif record is None:
            self._introduce(message)
        elif message.incarnation > record.facts_incarnation:
            self._hear_alive_of(record, message)

    def _objection(self, message: Alive, record: Record | None) -> str:
        """Why an `alive` is not believed at all; old news passes here and changes nothing later."""
        if record is None:
            return unfit(message, self.context.config.required_tags)
        if message.incarnation < record.incarnation and message.incarnation <= record.facts_incarnation:
            return ""
        if record.address != (message.host, message.port) and self.claim_refused(message):
            self._report_conflict(record, message)
            return "conflict"
        if message.incarnation > record.facts_incarnation:
            return unfit(message, self.context.config.required_tags)
        return ""

    def _report_conflict(self, record: Record, message: Alive) -> None:
        metrics = self.context.metrics
        metrics.conflicts += 1
        if (
            metrics.conflicts & (metrics.conflicts - 1) == 0
        ):  # the 1st, 2nd, 4th, 8th ...: a log must not be flooded
            text = f"{message.host}:{message.port} claims the name of {record.host}:{record.port}, which keeps it"
            self.context.notice("conflict", record.name, text)

    def claim_refused(self, message: Alive) -> str:
        """Why a name may not move to another address; empty when it may (or does not move at all)."""
        record = self.table.get(message.node)
        if record is None or record.address == (message.host, message.port):
            return ""
        if message.member_id and message.member_id == record.member_id:
            return ""
        held = f"name {message.node!r} is held by {record.host}:{record.port}"
        if record.state is State.LEFT:
            return ""
        if record.state is not State.DEAD:
            return f"{held}, which is {record.status().value}; use another name or wait until it is buried"
        reclaim_s = self.context.timing.lifecycle.reclaim_s
        left_s = record.changed_s + reclaim_s - self.context.now
        if reclaim_s and left_s <= 0:
            return ""
        return f"{held}, which failed; " + (
            f"free in {left_s:.0f} s" if reclaim_s else "it is never given away"
        )

    def _hear_alive_of_me(self, message: Alive) -> None:
        me = self.me
        if message.incarnation < me.incarnation or self.departing:
            return
        if message.incarnation == me.incarnation and _facts(message) == _record_facts(me):
            return
        if me.address != (message.host, message.port):
            # An earlier life of ours at another address is outbid. A living clone would outbid us in turn, for ever.
            now = self.context.now
            if len(self._outbid_s) == self._outbid_s.maxlen and now - self._outbid_s[0] < _OUTBID_WINDOW_S:
                self._report_conflict(me, message)
                return
            self._outbid_s.append(now)
        self._refute(message.incarnation)

    def _introduce(self, message: Alive) -> None:
        context = self.context
        record = Record(message.node, context.now)
        record.incarnation = message.incarnation
        _take_facts(record, message)
        self.table.add(record)
        rumour = self.table.take_rumour(record.name, context.now)
        if rumour is not None:
            record.status_time, record.leaving = rumour.status_time, rumour.leave
        context.emit(EventKind.JOIN, record)
        context.persist(f"alive: {record.name} {record.host} {record.port}")
        self._broadcast(record.name, self.introduction(record))
        if rumour is not None and rumour.fact is not State.ALIVE:
            self._hear_bad(record.name, rumour.fact, rumour.incarnation, rumour.accuser)

    def _hear_alive_of(self, record: Record, message: Alive) -> None:
        context = self.context
        changed = _record_facts(record) != _facts(message)
        moved = record.address != (message.host, message.port)
        before = record.state
        state = transition(before, record.incarnation, State.ALIVE, message.incarnation)
        _take_facts(record, message)
        if state is not None:
            record.incarnation = message.incarnation
            self._enter(record, state)
            self._broadcast(record.name, self.introduction(record))
        if state is not None and before >= State.DEAD:
            record.leaving = False
            context.emit(EventKind.JOIN, record)
        elif changed or (state is not None and before is State.SUSPECT):
            context.emit(EventKind.UPDATE, record)
        if record.living and (moved or before >= State.DEAD):
            context.persist(f"alive: {record.name} {record.host} {record.port}")

    def hear_suspect(self, message: Suspect) -> None:
        """Somebody did not answer."""
        self._hear_bad(message.node, State.SUSPECT, message.incarnation, message.accuser)

    def hear_dead(self, message: Dead) -> None:
        """Somebody was buried, or leaves."""
        fact = State.LEFT if message.accuser == message.node else State.DEAD
        self._hear_bad(message.node, fact, message.incarnation, message.accuser)

    def _hear_bad(self, name: str, fact: State, incarnation: int, accuser: str) -> None:
        if fact is State.SUSPECT and accuser == name:  # mangled, or from another cluster
            self.context.metrics.refuse("self_accusation")
            return
        record = self.table.get(name)
        if record is None:
            rumour = self.table.rumour(name, self.context.now)
            if (incarnation, fact) > (rumour.incarnation, rumour.fact):
                rumour.fact, rumour.incarnation, rumour.accuser = fact, incarnation, accuser
            return
        if record is self.me and not (self.departing and accuser == name):
            if incarnation >= record.incarnation:
                self._refute(incarnation)
            return
        state = transition(record.state, record.incarnation, fact, incarnation)
        if state is not None:
            self._change(record, state, incarnation, accuser)
        elif fact is State.SUSPECT and record.suspicion and incarnation == record.incarnation:
            self._confirm(record, accuser)

    def _change(self, record: Record, state: State, incarnation: int, accuser: str) -> None:
        context = self.context
        before = record.status()
        raised = record.state >= State.DEAD and (state is State.SUSPECT or record.state > state)
        record.incarnation = incarnation
        if raised:
            # a higher incarnation proves that it lived after it was buried
            record.leaving = False
            self._enter(record, State.ALIVE)
            context.emit(EventKind.JOIN, record)
        told = state
        if state is State.DEAD and record.leaving:
            state = State.LEFT
        self._enter(record, state, accuser)
        context.metrics.buried += state is State.DEAD
        context.metrics.suspected += state is State.SUSPECT
        if raised or record.status() is not before:
            context.emit(_EVENTS[state], record)
        if state >= State.DEAD:
            context.persist(f"not-alive: {record.name}")
        message: Suspect | Dead = (
            Suspect(incarnation=incarnation, node=record.name, accuser=accuser)
            if told is State.SUSPECT
            else Dead(incarnation=incarnation, node=record.name, accuser=accuser)
        )
        self._broadcast(record.name, message)

    def _confirm(self, record: Record, accuser: str) -> None:
        assert record.suspicion is not None
        if record.suspicion.confirm(accuser):
            self._arm(record)
            message = Suspect(incarnation=record.incarnation, node=record.name, accuser=accuser)
            self._broadcast(record.name, message)

    # ---- intents reach here

    def set_leaving(self, record: Record, leaving: bool) -> None:
        """A leave intent, or its cancellation, about a living member; a failed one becomes left."""
        before = record.status()
        if record.state is State.DEAD and leaving:
            self._enter(record, State.LEFT)
            self.context.emit(EventKind.LEFT, record)
        elif record.living:
            record.leaving = leaving
            if record.status() is not before:
                self.context.emit(EventKind.UPDATE, record)

    # ---- timers

    def _enter(self, record: Record, state: State, accuser: str = "") -> None:
        if record.timer is not None:
            record.timer.cancel()
        record.timer = record.suspicion = None
        self.table.set_state(record, state, self.context.now)
        if state is State.SUSPECT:
            record.suspicion = Suspicion(self.context.timing, self.table.living, accuser, self.context.now)
            self._arm(record)

    def _arm(self, record: Record) -> None:
        if record.timer is not None:
            record.timer.cancel()
        assert record.suspicion is not None
        record.timer = self.context.timers.at(record.suspicion.due_s, lambda: self._expire(record))

    def _expire(self, record: Record) -> None:
        if record.suspicion is None:
            return
        if record.suspicion.due_s > self.context.now:
            self._arm(record)
            return
        confirmed = len(record.suspicion.accusers) - 1
        self.context.notice("buried", record.name, f"silent since its suspicion; {confirmed} confirmations")
        self.hear_dead(Dead(incarnation=record.incarnation, node=record.name, accuser=self.context.name))

    def spare_suspects(self, late_s: float) -> None:
        """This process was away: that time does not count, and after long absence suspects are heard first."""
        interval_s = self.context.timing.probing.interval_s
        until = self.context.now + 2 * interval_s if late_s >= interval_s else 0.0
        for record in self.table.records.values():
            if record.suspicion is not None:
                record.suspicion.extend(late_s, until)

    def forget(self, record: Record) -> None:
        """Drop a tombstone."""
        self.table.remove(record)
        self.context.emit(EventKind.REAP, record)

    # ---- saying it

    def introduction(self, record: Record) -> Alive:
        """An `alive` message about a record."""
        return Alive(
            incarnation=record.incarnation,
            node=record.name,
            member_id=record.member_id,
            host=record.host,
            port=record.port,
            meta=record.meta,
            version_min=record.versions.min,
            version_max=record.versions.max,
            version=record.versions.current,
        )

    def _broadcast(self, name: str, message: Alive | Suspect | Dead) -> None:
        done = self.on_departure_told if name == self.context.name and self.departing else None
        self.context.broadcast(self.context.about_members, name, encode(message), done)

    def on_departure_told(self) -> None:
        """Replaced by the leaver, which waits for it."""


def unfit(message: Alive, required_tags: Mapping[str, str]) -> str:
    """Why an introduction is not believed; empty when it is."""
    if not valid_name(message.node):
        return "name"
    if not message.version_min <= message.version <= message.version_max:
        return "versions"
    own = Versions()
    if message.version > own.max or message.version_max < own.min:
        return "protocol"
    try:
        ipaddress.ip_address(message.host)
    except ValueError:
        return "address"
    if required_tags:
        tags = decode_tags(message.meta)
        if any(tags.get(key) != value for key, value in required_tags.items()):
            return "tags"
    return "" if message.incarnation < limits.INCARNATION_MAX else "incarnation"


def _facts(message: Alive) -> tuple[object, ...]:
    versions = (message.version_min, message.version_max, message.version)
    return (message.member_id, message.host, message.port, message.meta, versions)


def _record_facts(record: Record) -> tuple[object, ...]:
    versions = (record.versions.min, record.versions.max, record.versions.current)
    return (record.member_id, record.host, record.port, record.meta, versions)


def _take_facts(record: Record, message: Alive) -> None:
    record.member_id, record.host, record.port = message.member_id, message.host, message.port
    record.meta = message.meta
    record.versions = Versions(min=message.version_min, max=message.version_max, current=message.version)
    record.facts_incarnation = message.incarnation
