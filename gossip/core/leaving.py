"""Leaving on purpose: say that one will, say that one does, stay reachable a little, stop. Pure.

Theory: first the intent is told, so that what follows reads as a leave; then the own death, signed by oneself; each
step waits until its broadcast has been sent often enough, or a limit. Then this member still answers for a moment, so
that nobody suspects it before the word has spread. A leave cannot be undone: coming back takes a fresh instance.
Source: serf's leave; memberlist#140 for the fresh instance.
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.core.actions import Stopped
from gossip.core.context import Context
from gossip.core.intents import Intents
from gossip.core.membership import Membership
from gossip.core.timers import Timer
from gossip.wire.codec import encode


class Leaver:
    """Drives one leave."""

    def __init__(self, context: Context, membership: Membership, intents: Intents) -> None:
        self.context = context
        self.membership = membership
        self.intents = intents
        self.begun = False
        self._step: Callable[[], None] | None = None
        self._limit: Timer | None = None

    def begin(self) -> None:
        """Start to leave; repeated calls change nothing."""
        if self.begun:
            return
        self.begun = True
        self.context.persist("leave", sync=True)
        self.context.has_left = True
        intent = self.intents.announce_leave(self.context.name)
        if self.context.table.living <= 1:
            self._depart()
            return
        self._wait_for(self._depart)
        self.context.broadcast(
            self.context.intents, self.context.name, encode(intent), lambda: self._told(self._depart)
        )

    def _depart(self) -> None:
        self.membership.on_departure_told = lambda: self._told(self._linger)  # type: ignore[method-assign]
        alone = self.context.table.living <= 1
        self._wait_for(self._linger)
        self.membership.depart()
        if alone:
            self._told(self._linger)

    def _linger(self) -> None:
        self.context.after(self.context.timing.lifecycle.leave_delay_s, self._stop)

    def _stop(self) -> None:
        self.context.actions.append(Stopped())

    def _wait_for(self, step: Callable[[], None]) -> None:
        self._step = step
        due = self.context.now + self.context.timing.lifecycle.broadcast_timeout_s
        self._limit = self.context.timers.at(due, lambda: self._told(step))

    def _told(self, step: Callable[[], None]) -> None:
        if self._step != step:  # the limit came first, or the broadcast did
            return
        self._step = None
        if self._limit is not None:
            self._limit.cancel()
        # not at once: this is called from inside the queue that the next step writes to
        self.context.after(0.0, step)
