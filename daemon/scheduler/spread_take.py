"""Many placements of a group that spreads, in the order of the choice. Pure.

Theory: rows with the same combo of counters always have the same boost, so that among them the rest of the score
decides alone: they lie in sorted piles, one for rows without and one for rows with the group (the number of parts
differs). Combos with the same boost form a class: the same target, or in an even block the same count. Of each class
only the best head is compared. A placement moves one row within its combo and changes the boosts of the classes that
its counters touch; nothing else is looked at again, whatever the number of nodes.

Source: spec/scheduler.md 5.2; architecture.md "Fleet".
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from daemon.scheduler.distinct import Closing
from daemon.scheduler.score import (
    CLOSED,
    COST_SHIFT,
    ROW_MASK,
    TIE_MASK,
    mean_cost,
    own_steps,
    part_key,
    steps,
)
from daemon.scheduler.spread import Counts, Spreads
from daemon.state.columns import Ints

if TYPE_CHECKING:
    from daemon.scheduler.ranker import Ranker

#: an even block with fewer values stays one class a value where there are other blocks.
_FEW = 8


class _Class:
    """Combos with the same boost."""

    __slots__ = ("boost", "heads", "number", "parts")

    def __init__(self, number: int, parts: tuple[int, ...]) -> None:
        self.number = number
        self.parts = parts
        #: in steps; None: to be computed again.
        self.boost: int | None = None
        #: rows without and with the group: heap of (key of a pile's head, pile); entries may be out of date.
        self.heads: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])


class SpreadTake:
    """The piles of one bulk. Pile 2 * combo: rows without the group; the next: rows with it."""

    def __init__(self, ranker: Ranker, spreads: Spreads, closing: Closing, count: int) -> None:
        self.closing = closing
        self.count = count
        self.terms = ranker.terms
        self.counts: list[Counts] = spreads.counts(ranker.working)
        blocks = spreads.blocks
        #: blocks whose classes follow the count, not the counter.
        self.by_count = [
            block.desired is None and (len(blocks) == 1 or block.size > _FEW) for block in blocks
        ]
        columns = [column.tolist() for column in spreads.columns]
        self.counters: list[tuple[int, ...]] = list(zip(*columns, strict=True))
        rows = np.flatnonzero(ranker.keys != CLOSED)
        keys = ranker.keys[rows]
        piles = 2 * spreads.combo[rows] + (ranker.present[rows] > 0)
        order = np.argsort(keys)
        order = order[np.argsort(piles[order], kind="stable")]
        if not closing.rules:
            # of each pile no more rows than placements can ever be taken.
            order = order[_places(piles[order]) < count]
        self.sorted: list[int] = keys[order].tolist()
        self.rooms = _Rooms(ranker, rows[order])
        numbers, starts = np.unique(piles[order], return_index=True)
        ends = [*starts.tolist(), len(order)][1:]
        #: pile -> where what is left of it begins in `sorted`, and its end; and rows that came back.
        self.start: dict[int, int] = dict(zip(numbers.tolist(), starts.tolist(), strict=True))
        self.end: dict[int, int] = dict(zip(numbers.tolist(), ends, strict=True))
        self.returned: dict[int, list[int]] = {}
        self.classes: dict[tuple[int, ...], _Class] = {}
        #: 2 * class (+ 1: with the group) -> its best key, boost and all, and that row's pile.
        self.best: dict[int, tuple[int, int]] = {}
        self.dirty: set[_Class] = set()
        combos = sorted({pile >> 1 for pile in self.start})
        self.sharing = [
            _sharing(combos, [self.counters[combo][at] for combo in combos])
            if follows and len(blocks) > 1
            else {}
            for at, follows in enumerate(self.by_count)
        ]
        self.class_of = {combo: self._class(combo) for combo in combos}
        for pile in self.start:
            self._offer(pile)

    def _class(self, combo: int) -> _Class:
        parts = tuple(
            self.counts[at].counts[counter] if follows and counter >= 0 else counter
            for at, (counter, follows) in enumerate(zip(self.counters[combo], self.by_count, strict=True))
        )
        found = self.classes.get(parts)
        if found is None:
            found = self.classes[parts] = _Class(len(self.classes), parts)
        return found

    def _head(self, pile: int) -> int | None:
        """Key of the pile's best row."""
        at = self.start.get(pile, 0)
        first = self.sorted[at] if at < self.end.get(pile, 0) else None
        back = self.returned.get(pile)
        if back and (first is None or back[0] < first):
            return back[0]
        return first

    def _offer(self, pile: int) -> None:
        """Let the pile's head compete in its class."""
        key = self._head(pile)
        one = self.class_of[pile >> 1]
        self.dirty.add(one)
        if key is not None:
            heapq.heappush(one.heads[pile & 1], (key, pile))

    def _compare(self) -> None:
        """Look again at the classes that changed."""
        for one in self.dirty:
            for held, heap in enumerate(one.heads):
                place = 2 * one.number + held
                while heap:
                    key, pile = heap[0]
                    if self.class_of[pile >> 1] is one and self._head(pile) == key:
                        if one.boost is None:
                            one.boost = self._boost(pile >> 1)
                        cost = mean_cost(own_steps(key), one.boost, self.terms + held)
                        self.best[place] = ((cost << COST_SHIFT) | (key & TIE_MASK), pile)
                        break
                    heapq.heappop(heap)
                else:
                    self.best.pop(place, None)
        self.dirty.clear()

    def _boost(self, combo: int) -> int:
        total = 0.0
        for counts, counter in zip(self.counts, self.counters[combo], strict=True):
            total += counts.boost(counter)
        return steps(total)

    def take(self) -> list[int]:
        """Rows of up to `count` placements."""
        picks: list[int] = []
        closing, rooms = self.closing, self.rooms
        while len(picks) < self.count:
            self._compare()
            if not self.best:
                break
            _, pile = min(self.best.values())
            key, at, combo = self._pop(pile)
            row = key & ROW_MASK
            if closing.rules:
                if not closing.open(row):
                    self._offer(pile)
                    continue
                closing.add(row)
            picks.append(row)
            again = rooms.place(row, at)
            if again is not None:
                heapq.heappush(self.returned.setdefault(2 * combo + 1, []), again)
            self._count(combo)
        return picks

    def _pop(self, pile: int) -> tuple[int, int, int]:
        """Take the pile's head: its key, its place in `sorted` (-1: it was back already), and the combo."""
        key, back = self._head(pile), self.returned.get(pile)
        assert key is not None
        if back and back[0] == key:
            heapq.heappop(back)
            return key, -1, pile >> 1
        at = self.start[pile]
        self.start[pile] = at + 1
        return key, at, pile >> 1

    def _count(self, combo: int) -> None:
        """One more of the combo: its counters move, and classes with them."""
        moved = {combo}
        for at, (counts, counter) in enumerate(zip(self.counts, self.counters[combo], strict=True)):
            if counts.add(counter):
                self._stale(self.classes.values())
            elif not self.by_count[at]:
                self._stale(one for one in self.classes.values() if one.parts[at] == counter)
            if self.by_count[at]:
                moved.update(self.sharing[at].get(counter, ()))
        for each in moved:
            self.dirty.add(self.class_of[each])
            self.class_of[each] = self._class(each)
            self._offer(2 * each)
            self._offer(2 * each + 1)

    def _stale(self, classes: Iterable[_Class]) -> None:
        for one in classes:
            one.boost = None
            self.dirty.add(one)


class _Rooms:
    """Rows while they take placements, in the order of the piles."""

    def __init__(self, ranker: Ranker, rows: Ints) -> None:
        used, capacity = ranker.working.used, ranker.working.fleet.capacity
        self.ranker = ranker
        self.columns = list(
            zip(
                used[0, rows].tolist(),
                used[1, rows].tolist(),
                capacity[0, rows].tolist(),
                capacity[1, rows].tolist(),
                ranker.present[rows].tolist(),
                ranker.left[rows].tolist(),
                strict=True,
            )
        )
        self.climbing: dict[int, list[int]] = {}

    def place(self, row: int, at: int) -> int | None:
        """Take one; the row's key for the next, None when it is full. `at`: its place, when it is the first."""
        ranker = self.ranker
        state = self.climbing[row] = list(self.columns[at]) if at >= 0 else self.climbing[row]
        state[5] -= 1
        if state[5] <= 0:
            return None
        state[0] += ranker.ask[0]
        state[1] += ranker.ask[1]
        state[4] += 1
        cpu, memory, all_cpu, all_memory, present, _ = state
        # as in `Ranker.own_sum`, to the bit.
        total = ranker.rate(
            1.0 - (cpu + ranker.ask[0]) / all_cpu if all_cpu > 0 else 0.0,
            1.0 - (memory + ranker.ask[1]) / all_memory if all_memory > 0 else 0.0,
        )
        total += ranker.worth_of(row)
        total -= (present + 1) / ranker.desired
        return part_key(total, int(ranker.ties[row]))


def _places(piles: Ints) -> Ints:
    """Per row of sorted piles its place in its pile."""
    first = (
        np.flatnonzero(np.r_[True, piles[1:] != piles[:-1]]) if len(piles) else np.zeros(0, dtype=np.int64)
    )
    sizes = np.diff(np.r_[first, len(piles)])
    places: Ints = np.arange(len(piles), dtype=np.int64) - np.repeat(first, sizes)
    return places


def _sharing(combos: list[int], counters: list[int]) -> dict[int, list[int]]:
    """Per counter the combos that have it."""
    table: dict[int, list[int]] = {}
    for combo, counter in zip(combos, counters, strict=True):
        table.setdefault(counter, []).append(combo)
    return table
