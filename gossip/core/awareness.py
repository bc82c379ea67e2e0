"""A member's doubt about its own health. Pure.

Theory: who misses answers that others get, must refute, or runs late is probably the sick one; it then probes more
slowly and accuses later. 0 is healthy.
Source: Lifeguard paper (LHA-Probe). Feeding it from the loop's own lateness is ours: a paused interpreter is the very
failure that Lifeguard was made for.
"""

from __future__ import annotations


class Awareness:
    """A score from 0 to `score_max`."""

    def __init__(self, score_count: int) -> None:
        self.score_max = score_count - 1
        self.score = 0

    def change(self, delta: int) -> None:
        """Worse (positive) or better (negative)."""
        self.score = min(self.score_max, max(0, self.score + delta))

    def scale(self, interval_s: float) -> float:
        """The interval, longer the sicker."""
        return interval_s * (self.score + 1)
