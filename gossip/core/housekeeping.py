"""Reaching for the failed, and forgetting the dead. Pure.

Theory: now and then each member tries one failed member, with a probability such that the whole cluster tries each
about once per interval; this is what heals partitions. Tombstones are dropped at their time, and the oldest early when
there are too many: every state counts, or one kind would grow without end.
Source: serf's reconnector and reaper; memberlist#253 for the kind that grew.
"""

from __future__ import annotations

from gossip import limits
from gossip.core.context import Context
from gossip.core.exchanging import Exchanger
from gossip.core.membership import Membership
from gossip.model import State


class Housekeeper:
    """Owns the reconnect and reap timers."""

    def __init__(self, context: Context, membership: Membership, exchanger: Exchanger) -> None:
        self.context = context
        self.membership = membership
        self.exchanger = exchanger

    def start(self) -> None:
        """Begin at random moments."""
        life, rng = self.context.timing.lifecycle, self.context.rng
        if life.reconnect_interval_s:
            self.context.after(life.reconnect_interval_s * rng.random(), self._reconnect)
        self.context.after(life.reap_interval_s * rng.random(), self._reap)

    def _reconnect(self) -> None:
        context = self.context
        if self.membership.departing:
            return
        context.after(context.timing.lifecycle.reconnect_interval_s, self._reconnect)
        failed = [record for record in context.table.records.values() if record.state is State.DEAD]
        if failed and context.rng.random() < len(failed) / max(1, context.table.living):
            target = failed[context.rng.randrange(len(failed))]
            self.exchanger.open(target.address, join=True, done=lambda error: None)

    def _reap(self) -> None:
        context, life = self.context, self.context.timing.lifecycle
        context.after(life.reap_interval_s, self._reap)
        tombstones = [
            record
            for record in context.table.records.values()
            if not record.living and record is not self.membership.me
        ]
        tombstones.sort(key=lambda record: (record.changed_s, record.name))
        excess = len(tombstones) - limits.TOMBSTONES_MAX
        for number, record in enumerate(tombstones):
            kept_s = life.tombstone_timeout_s if record.state is State.LEFT else life.reconnect_timeout_s
            if number < excess or context.now - record.changed_s >= kept_s:
                self.membership.forget(record)
