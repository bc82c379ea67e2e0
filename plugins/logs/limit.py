"""A token bucket over bytes: how much a task may log now, and when it may log more. Pure; time is an
argument.

Theory: tokens fill at `rate_bytes` a second up to one second's worth, so a quiet task may burst for a second.
The caller takes no more than `allowed` and waits `delay_s` at zero; what waits stays in the pipe, and a full
pipe slows the writer. Nothing is ever dropped.
"""

from __future__ import annotations


class Bucket:
    """Byte budget shared by both streams of one task. A rate of 0 means no limit."""

    def __init__(self, rate_bytes: int, now_s: float) -> None:
        self.rate_bytes = max(0, rate_bytes)
        self._tokens = float(self.rate_bytes)
        self._at_s = now_s

    def allowed(self, wanted: int, now_s: float) -> int:
        """Return how many of `wanted` bytes may pass now."""
        if not self.rate_bytes:
            return wanted
        elapsed_s = max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self._tokens = min(float(self.rate_bytes), self._tokens + elapsed_s * self.rate_bytes)
        return max(0, min(wanted, int(self._tokens)))

    def took(self, count: int) -> None:
        """Account for bytes that have passed."""
        if self.rate_bytes:
            self._tokens -= count

    def delay_s(self) -> float:
        """Return how long to wait before a useful amount (a twentieth of a second's worth) has filled."""
        if not self.rate_bytes:
            return 0.0
        wanted = max(1.0, self.rate_bytes / 20)
        return max(0.01, (wanted - self._tokens) / self.rate_bytes)

    def lift(self) -> None:
        """Remove the limit, for the last drain of a task that has ended."""
        self.rate_bytes = 0
