"""Contention: how often workers want the same room, and whether they had better keep apart. Pure.

Theory: the share of conflicts among the latest plans. Above the upper bound the workers are told to prefer nodes of
their own where those are nearly as good; they go back to the best nodes when hardly any plan meets another.

Source: architecture.md "Evaluation and plans".
"""

from __future__ import annotations

from collections import deque

#: plans that are looked at, and the least number of them that says anything.
PLANS, LEAST = 256, 32
UPPER, LOWER = 0.05, 0.01


class Contention:
    """Counts the outcomes of plan checks."""

    def __init__(self) -> None:
        self._latest: deque[bool] = deque(maxlen=PLANS)
        self._conflicts = 0
        #: workers get in each other's way.
        self.high = False

    def count(self, conflict: bool) -> None:
        """One plan was checked."""
        if len(self._latest) == PLANS:
            self._conflicts -= self._latest[0]
        self._latest.append(conflict)
        self._conflicts += conflict
        if len(self._latest) >= LEAST:
            self.high = self.rate > (LOWER if self.high else UPPER)

    @property
    def rate(self) -> float:
        """Conflicts among the latest plans, 0 to 1."""
        return self._conflicts / len(self._latest) if self._latest else 0.0
