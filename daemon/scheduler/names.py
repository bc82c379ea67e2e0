"""Names `job.group[i]`: which numbers are free. Pure.

Source: spec/scheduler.md 6.4.
"""

from __future__ import annotations

from collections.abc import Iterable


class NameIndex:
    """Numbers in use in one group. `take` gives the lowest free below the count, then overlaps from 0."""

    def __init__(self, count: int, used: Iterable[int] = ()) -> None:
        self.count = count
        self._used = set(used)
        self._next = 0

    def claim(self, index: int) -> int:
        """Keep a predecessor's number if nobody has it, else the next free one."""
        if index in self._used:
            return self.take(1)[0]
        self._used.add(index)
        return index

    def take(self, many: int) -> list[int]:
        """`many` numbers, lowest first."""
        if not self._used and not self._next:
            taken = list(range(min(many, self.count)))
            self._used.update(taken)
            self._next = len(taken)
            return [*taken, *range(many - len(taken))]
        taken = []
        while len(taken) < many and self._next < self.count:
            if self._next not in self._used:
                self._used.add(self._next)
                taken.append(self._next)
            self._next += 1
        return [*taken, *range(many - len(taken))]
