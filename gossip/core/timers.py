"""Timers as a heap of calls; the owner brings the time. Pure.

Theory: nothing fires by itself. `fire(now)` runs what is due in order of time, then of creation, so that a run is
repeatable. A cancelled timer stays in the heap until its time or
until the heap has doubled since it was last cleaned.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

_SWEEP_MIN = 256


class Timer:
    """A planned call."""

    __slots__ = ("call", "due_s")

    def __init__(self, due_s: float, call: Callable[[], None]) -> None:
        self.due_s = due_s
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Never call."""
        self.call = None


class Timers:
    """All timers of one member."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._sweep_at = _SWEEP_MIN

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, due_s: float, call: Callable[[], None]) -> Timer:
        """Call once at this time."""
        timer = Timer(due_s, call)
        self._count += 1
        heapq.heappush(self._heap, (due_s, self._count, timer))
        if len(self._heap) > self._sweep_at:
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)
            self._sweep_at = max(_SWEEP_MIN, 2 * len(self._heap))
        return timer

    def next_s(self) -> float | None:
        """When the earliest timer is due."""
        while self._heap and self._heap[0][2].call is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def fire(self, now: float) -> None:
        """Run everything due; calls may plan new timers."""
        while True:
            due = self.next_s()
            if due is None or due > now:
                return
            timer = heapq.heappop(self._heap)[2]
            call, timer.call = timer.call, None
            if call is not None:
                call()

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
