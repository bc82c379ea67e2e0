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

if TYPE_CHECKING:
    from daemon.scheduler.ranker import Ranker

#: an even block with fewer values stays one class a value where there are other blocks.
_FEW = 8

_Class = tuple[int, ...]


class SpreadTake:
    """The piles of one bulk."""

    def __init__(self, ranker: Ranker, spreads: Spreads, closing: Closing) -> None:
        self.ranker, self.closing = ranker, closing
        self.counts: list[Counts] = spreads.counts(ranker.working)
        blocks = spreads.blocks
        #: blocks whose classes follow the count, not the counter.
        self.by_count = [
            block.desired is None and (len(blocks) == 1 or block.size > _FEW) for block in blocks
        ]
        self.counters: list[tuple[int, ...]] = list(
            zip(*(column.tolist() for column in spreads.columns), strict=True)
        )
        rows = np.flatnonzero(ranker.keys != CLOSED)
        keys = ranker.keys[rows]
        piles = 2 * spreads.combo[rows] + (ranker.present[rows] > 0)
        order = np.argsort(keys)
        order = order[np.argsort(piles[order], kind="stable")]
        self.sorted: list[int] = keys[order].tolist()
        numbers, starts = np.unique(piles[order], return_index=True)
        ends = [*starts.tolist(), len(order)][1:]
        #: pile -> what of `sorted` is left of it; and rows that came back to it.
        self.fresh = {
            pile: [start, end]
            for pile, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True)
        }
        self.returned: dict[int, list[int]] = {}
        combos = sorted({pile >> 1 for pile in self.fresh})
        self.sharing = [
            _sharing(combos, [self.counters[combo][at] for combo in combos]) if follows else {}
            for at, follows in enumerate(self.by_count)
        ]
        self.class_of = {combo: self._class(combo) for combo in combos}
        #: (class, held) -> heap of (key of a pile's head, pile); entries may be out of date.
        self.heads: dict[tuple[_Class, int], list[tuple[int, int]]] = {}
        for pile in self.fresh:
            self._offer(pile)
        #: (class, held) -> key by which its best is compared, and its pile.
        self.best: dict[tuple[_Class, int], tuple[int, int]] = {}
        self.dirty = set(self.heads)

    def _class(self, combo: int) -> _Class:
        return tuple(
            self.counts[at].counts[counter] if follows and counter >= 0 else counter
            for at, (counter, follows) in enumerate(zip(self.counters[combo], self.by_count, strict=True))
        )

    def _boost(self, combo: int) -> float:
        return sum(
            (one.boost(counter) for one, counter in zip(self.counts, self.counters[combo], strict=True)), 0.0
        )

    def _head(self, pile: int) -> int | None:
        """Key of the pile's best row."""
        fresh, back = self.fresh.get(pile), self.returned.get(pile)
        first = self.sorted[fresh[0]] if fresh and fresh[0] < fresh[1] else None
        if back and (first is None or back[0] < first):
            return back[0]
        return first

    def _drop_head(self, pile: int, key: int) -> None:
        back = self.returned.get(pile)
        if back and back[0] == key:
            heapq.heappop(back)
        else:
            self.fresh[pile][0] += 1

    def _offer(self, pile: int) -> None:
        """Let the pile's head compete in its class."""
        key = self._head(pile)
        if key is None:
            return
        place = (self.class_of[pile >> 1], pile & 1)
        heapq.heappush(self.heads.setdefault(place, []), (key, pile))

    def _compare(self) -> None:
        """Look again at the classes that changed."""
        for place in self.dirty:
            self.best.pop(place, None)
            heap = self.heads.get(place)
            while heap:
                key, pile = heap[0]
                if self.class_of[pile >> 1] == place[0] and self._head(pile) == key:
                    boost = steps(self._boost(pile >> 1))
                    cost = mean_cost(own_steps(key), boost, self.ranker.terms + place[1])
                    self.best[place] = ((cost << COST_SHIFT) | (key & TIE_MASK), pile)
                    break
                heapq.heappop(heap)
        self.dirty.clear()

    def take(self, count: int) -> list[int]:
        """Rows of up to `count` placements."""
        ranker, picks = self.ranker, list[int]()
        rooms: dict[int, _Room] = {}
        while len(picks) < count:
            self._compare()
            if not self.best:
                break
            _, pile = min(self.best.values())
            key = self._head(pile)
            assert key is not None
            row, combo = key & ROW_MASK, pile >> 1
            self._drop_head(pile, key)
            self.dirty.add((self.class_of[combo], pile & 1))
            if self.closing.rules and not self.closing.open(row):
                self._offer(pile)
                continue
            self.closing.add(row)
            picks.append(row)
            room = rooms.get(row)
            if room is None:
                room = rooms[row] = _Room(ranker, row)
            again = room.place()
            if again is not None:
                heapq.heappush(self.returned.setdefault(2 * combo + 1, []), again)
            self._count(combo)
        return picks

    def _count(self, combo: int) -> None:
        """One more of the combo: its counters move, and classes with them."""
        moved = {combo}
        for at, (one, counter) in enumerate(zip(self.counts, self.counters[combo], strict=True)):
            if one.add(counter):
                self.dirty.update(self.heads)
            elif not self.by_count[at]:
                self.dirty.update(place for place in self.heads if place[0][at] == counter)
            if self.by_count[at]:
                moved.update(self.sharing[at].get(counter, ()))
        for each in moved:
            self.dirty.update(((self.class_of[each], 0), (self.class_of[each], 1)))
            self.class_of[each] = self._class(each)
            self.dirty.update(((self.class_of[each], 0), (self.class_of[each], 1)))
            self._offer(2 * each)
            self._offer(2 * each + 1)


class _Room:
    """One row while it takes placements."""

    def __init__(self, ranker: Ranker, row: int) -> None:
        self.ranker, self.row = ranker, row
        self.cpu, self.memory = int(ranker.working.used[0, row]), int(ranker.working.used[1, row])
        self.present, self.left = int(ranker.present[row]), int(ranker.left[row])

    def place(self) -> int | None:
        """Take one; the row's key for the next, None when it is full."""
        ranker, ask = self.ranker, self.ranker.ask
        self.left -= 1
        if self.left <= 0:
            return None
        self.cpu += ask[0]
        self.memory += ask[1]
        self.present += 1
        pack = ranker.packed(self.row, self.cpu + ask[0], self.memory + ask[1])
        total = pack + ranker.worth_of(self.row) - (self.present + 1) / ranker.desired
        return part_key(total, int(ranker.ties[self.row]))


def _sharing(combos: list[int], counters: list[int]) -> dict[int, list[int]]:
    """Per counter the combos that have it."""
    table: dict[int, list[int]] = {}
    for combo, counter in zip(combos, counters, strict=True):
        table.setdefault(counter, []).append(combo)
    return table
