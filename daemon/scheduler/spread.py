"""Spread blocks: how much a value of an attribute is wanted, given where the group is already. Pure.

Theory: a block sorts the rows by counters: with targets one for each target and one for all other values (the target
`*`), without targets one for each value. A counter's boost follows from its count; in an even block also from the
smallest and the largest count in use. The boosts of several blocks are summed into one part of the score, so that
rows with the same counters in every block (a `combo`) always have the same boost.

Non-goal: where the next one goes; that is ranker.py, and spread_take.py in bulk.

Source: spec/scheduler.md 5.2; docs/decisions/quirks.md.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from daemon.model.job import Job, TaskGroup
from daemon.model.policies import Spread
from daemon.scheduler.targets import column_of
from daemon.scheduler.working import Working
from daemon.state.columns import Ints
from daemon.state.fleet import Fleet

#: the boost of a node that lacks the attribute, or whose value nobody asked for.
UNWANTED = -1.0


def even_boost(count: int, least: int, most: int) -> float:
    """Boost of a value used `count` times, where the used values have from `least` to `most` (0: nothing is used)."""
    if most == 0:
        return 0.0
    if count == 0:
        return most / least
    if count != least:
        return (least - count) / least
    return (most - least) / least if most > least else -1.0


class Counts:
    """Counts of one block while a plan grows: how much each counter is worth."""

    def __init__(self, block: SpreadBlock, counts: list[int]) -> None:
        self.block = block
        self.counts = counts
        #: count -> how many counters have it; only those in use.
        self.sizes: dict[int, int] = {}
        for count in counts:
            if count > 0:
                self.sizes[count] = self.sizes.get(count, 0) + 1
        self.least, self.most = min(self.sizes, default=0), max(self.sizes, default=0)

    def boost(self, counter: int) -> float:
        """What one counter is worth; -1: none."""
        if counter < 0:
            return UNWANTED
        desired = self.block.desired
        if desired is None:
            return even_boost(self.counts[counter], self.least, self.most)
        if desired[counter] > 0.0:
            return self._target(counter, desired[counter])
        # nobody wants any there: never better than the worst of the others.
        others = (self._target(i, wanted) for i, wanted in enumerate(desired) if wanted > 0.0)
        return min(UNWANTED, min(others, default=UNWANTED))

    def _target(self, counter: int, desired: float) -> float:
        return (desired - (self.counts[counter] + 1)) / desired * self.block.share

    def add(self, counter: int) -> bool:
        """One more of it. True when the boosts of other counters moved with it."""
        if counter < 0:
            return False
        count = self.counts[counter]
        self.counts[counter] = count + 1
        if self.block.desired is not None:
            return self.block.has_unwanted
        before = (self.least, self.most)
        sizes = self.sizes
        sizes[count + 1] = sizes.get(count + 1, 0) + 1
        if count > 0:
            sizes[count] -= 1
            if not sizes[count]:
                del sizes[count]
        self.most = max(self.most, count + 1)
        if count == 0:
            self.least = 1
        elif count == self.least and count not in sizes:
            self.least = count + 1
        return (self.least, self.most) != before


class SpreadBlock:
    """One block on a fleet: the counter of each row, and what each counter should reach."""

    def __init__(self, fleet: Fleet, spread: Spread, share: float, count: int) -> None:
        column = column_of(fleet, spread.attribute)
        words: list[str] = [] if column is None else column.vocabulary
        codes = np.full(fleet.length, -1, dtype=np.int32) if column is None else column.codes
        self.share = share
        #: per counter the wanted number; None: even.
        self.desired: list[float] | None = None
        self.size = len(words)
        if not spread.spread_target:
            self.counter_of: Ints = codes.astype(np.int64)
        else:
            self.desired = [target.percent * count / 100 for target in spread.spread_target]
            listed = {target.value: i for i, target in enumerate(spread.spread_target)}
            rest = listed.pop("*", -1)
            whole = sum(target.percent for target in spread.spread_target)
            if rest < 0 and 0 < whole < 100:
                rest = len(self.desired)
                self.desired.append((100 - whole) * count / 100)
            table = [listed.get(word, rest) for word in words]
            self.counter_of = np.array([*table, -1], dtype=np.int64)[codes]
            self.size = len(self.desired)
        self.has_unwanted = self.desired is not None and min(self.desired) <= 0.0

    def counts(self, planned: Ints) -> Counts:
        """Uses of each counter, from the group's allocations per row."""
        held = np.flatnonzero(planned)
        counters = self.counter_of[held]
        used = np.bincount(counters[counters >= 0], weights=planned[held][counters >= 0], minlength=self.size)
        return Counts(self, used.astype(np.int64).tolist())


class Spreads:
    """All blocks of one group."""

    def __init__(self, fleet: Fleet, spreads: Iterable[Spread], group: str, count: int) -> None:
        spreads = tuple(spreads)
        whole = sum(spread.weight for spread in spreads)
        self.group = group
        self.blocks = [
            SpreadBlock(fleet, spread, spread.weight / whole if whole else 0.0, count) for spread in spreads
        ]
        #: per row its combo; per block the counter of each combo.
        self.combo: Ints
        self.columns: list[Ints]
        if len(self.blocks) == 1:
            self.combo = self.blocks[0].counter_of + 1
            self.columns = [np.arange(-1, self.blocks[0].size, dtype=np.int64)]
        else:
            mixed = np.zeros(fleet.length, dtype=np.int64)
            for block in self.blocks:
                mixed = mixed * (block.size + 1) + block.counter_of + 1
            _, first, self.combo = np.unique(mixed, return_index=True, return_inverse=True)
            self.columns = [block.counter_of[first] for block in self.blocks]

    def counts(self, working: Working) -> list[Counts]:
        """How the blocks stand with the plan made so far."""
        planned = working.planned(self.group)
        return [block.counts(planned) for block in self.blocks]

    def boost(self, counts: list[Counts], combo: int) -> float:
        """Of one combo the sum over the blocks."""
        return sum(
            (one.boost(int(column[combo])) for one, column in zip(counts, self.columns, strict=True)), 0.0
        )

    def boosts(self, counts: list[Counts]) -> NDArray[np.float64]:
        """Per combo the sum over the blocks."""
        total: NDArray[np.float64] = np.zeros(len(self.columns[0]), dtype=np.float64)
        for one, column in zip(counts, self.columns, strict=True):
            table = np.array([*(one.boost(counter) for counter in range(one.block.size)), UNWANTED])
            total += table[column]
        return total


def spreads_of(fleet: Fleet, job: Job, group: TaskGroup) -> Spreads | None:
    """The blocks of the job and of the group; None without any."""
    spreads = (*job.spreads, *group.spreads)
    return Spreads(fleet, spreads, group.name, group.count) if spreads else None
