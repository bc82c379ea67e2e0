"""Tells news from repeats among events and queries, by Lamport time. Pure.

Theory: a ring of slots by time modulo its length, each with the few identities of that time. What is older than the
ring, or than a floor set at join, is not news. A full slot takes nothing more: nobody sends 64 different events at
one Lamport time except to harm.
Source: serf's event buffer.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from gossip import limits
from gossip.core.clock import LamportClock

T = TypeVar("T", bound=Hashable)


class Recent(Generic[T]):
    """What was seen lately. `floor` is the oldest time that still counts as news."""

    def __init__(self, clock: LamportClock) -> None:
        self._clock = clock
        self._slots: list[tuple[int, list[T]] | None] = [None] * limits.EVENT_SLOTS
        self.floor = 0

    def is_news(self, time: int, identity: T) -> bool:
        """Whether this was never seen; it is remembered."""
        self._clock.witness(time)
        if (
            time < self.floor
            or time + limits.EVENT_SLOTS < self._clock.time
            or time >= limits.INCARNATION_MAX
        ):
            return False
        place = time % limits.EVENT_SLOTS
        slot = self._slots[place]
        if slot is None or slot[0] < time:
            self._slots[place] = (time, [identity])
            return True
        if slot[0] > time or identity in slot[1] or len(slot[1]) >= limits.EVENT_SLOT_ENTRIES_MAX:
            return False
        slot[1].append(identity)
        return True

    def all(self) -> list[tuple[int, T]]:
        """Everything remembered, oldest first."""
        slots = sorted((slot for slot in self._slots if slot is not None), key=lambda slot: slot[0])
        return [(time, identity) for time, identities in slots for identity in identities]
