"""Admission: new work is answered "busy, retry after" while the leader has more than it can chew.

Theory: three queues can grow: evaluations in the broker, launched jobs that wait for their turn, proposals that wait
for the disk. Each has a bound; beyond it a request is refused at the door, before anything is written, and told when
to come back. What is accepted is never dropped. Stopping work is let in for longer than starting it.

Source: users/wants.md 25.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from daemon.model.errors import Unavailable

RETRY_MIN_S = 0.5
RETRY_MAX_S = 30.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the leader's queues."""

    evaluations: int = 20_000
    launches: int = 100_000
    #: proposals that wait for the disk.
    proposals: int = 3_000
    #: evaluations a second that the hint of when to come back assumes.
    drain_per_s: float = 1_000.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How full they are."""

    evaluations: int = 0
    launches: int = 0
    proposals: int = 0


class Admission:
    """Asked by every write that makes work."""

    def __init__(self, limits: Limits, load: Callable[[], Load]) -> None:
        self._limits = limits
        self._load = load
        self.refused = 0

    def check(self, what: str, *, stopping: bool = False) -> None:
        """Raises Unavailable, with retry_after_s, when the leader is busy."""
        load, limits = self._load(), self._limits
        room = 2 if stopping else 1
        for count, limit, words in (
            (load.evaluations, limits.evaluations, "evaluations wait for a worker"),
            (load.launches, limits.launches, "launched jobs wait for their turn"),
            (load.proposals, limits.proposals, "writes wait for the disk"),
        ):
            if count >= limit * room:
                self.refused += 1
                over = count - limit * room + limit * 0.05
                after_s = round(min(RETRY_MAX_S, max(RETRY_MIN_S, over / limits.drain_per_s)), 1)
                raise Unavailable(
                    f"busy: {count} {words}, {limit * room} at most; {what} was not accepted, "
                    f"try again in {after_s:g} s",
                    retry_after_s=after_s,
                    busy=True,
                )
