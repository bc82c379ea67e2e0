"""A Lamport clock: orders intents, events and queries without wall time. Pure.

Source: Lamport 1978; serf keeps three of them, for membership, events and queries.
"""

from __future__ import annotations

from gossip import limits


class LamportClock:
    """Never goes back; starts at 1."""

    def __init__(self, time: int = 1) -> None:
        self.time = time

    def increment(self) -> int:
        """The time for something new."""
        self.time += 1
        return self.time

    def witness(self, time: int) -> None:
        """Be later than a time seen elsewhere. Absurd times are ignored: one message must not end the count."""
        if self.time <= time < limits.INCARNATION_MAX:
            self.time = time + 1
