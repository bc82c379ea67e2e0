"""Gossip ticks: while there is news, tell it to a few random members. Pure.

Theory: the tick runs only while a broadcast waits, at a phase of its own per member. Alive and suspect members are
told, and besides them one of the freshly dead, so that somebody buried by mistake hears of it.
Source: memberlist's gossip loop; there the dead take the places of the living, which starves these when many die.
"""

from __future__ import annotations

from gossip.core.context import Context
from gossip.core.membership import Membership
from gossip.core.table import Record
from gossip.model import State


class Spreader:
    """Owns the gossip timer."""

    def __init__(self, context: Context, membership: Membership) -> None:
        self.context = context
        self.membership = membership
        self._ticking = False
        self._phase_s = context.rng.random() * context.timing.spreading.interval_s
        context.on_news = self.wake

    def wake(self) -> None:
        """There is news: tick at the next moment of this member's grid."""
        if self._ticking:
            return
        self._ticking = True
        interval = self.context.timing.spreading.interval_s
        left_s = interval - (self.context.now - self._phase_s) % interval
        # a rounding error before the grid's moment must not make a second tick at the same moment
        self.context.after(left_s if left_s > interval / 1000 else left_s + interval, self._tick)

    def _tick(self) -> None:
        context = self.context
        self._ticking = False
        if not context.has_news:
            return
        listeners = context.table.pick(context.timing.spreading.fanout, lambda record: record.living)
        if (
            len(context.table.ring) >= context.table.living
        ):  # more than the living but this one: some died lately
            listeners += context.table.pick(1, self._is_fresh_dead)
        for record in listeners:
            context.send(record.address, [])
        if not listeners:
            for queue in (context.about_members, *context.about_users):
                queue.clear()  # nobody is there; whoever comes gets it all by an exchange
        if context.has_news:
            self.wake()

    def _is_fresh_dead(self, record: Record) -> bool:
        age_s = self.context.now - record.changed_s
        return record.state is State.DEAD and age_s < self.context.timing.spreading.to_the_dead_s
