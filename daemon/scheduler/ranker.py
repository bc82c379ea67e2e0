"""Ranker: the best node for one more of a group, again and again. Pure.

Theory: keys of all rows are at hand (standing.py) and corrected where this job differs. A placement or a stop
changes the key of its own row only (and closes rows of a used-up property value), so that n placements cost a few
passes over the nodes plus a heap step each. In bulk only the best n rows can be touched, so only they enter the
heap; a row that was touched comes back with its new key. Where the group spreads, keys hold what belongs to the
row alone; boosts come from the counts as they stand.

Source: spec/scheduler.md 5; architecture.md "Fleet".
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np

from daemon.scheduler.distinct import Closing, Distinct, DistinctHosts, DistinctProperty
from daemon.scheduler.ports import PortAsk
from daemon.scheduler.score import (
    CLOSED,
    COST_SHIFT,
    NEAR_STEPS,
    ROW_MASK,
    Floats,
    anti_affinity,
    best_of,
    binpack,
    final_rows,
    key_one,
    key_rows,
    loose,
    mean_cost,
    own_steps,
    part_key,
    part_rows,
    share_numbers,
    steps,
    sum_rows,
)
from daemon.scheduler.spread import Spreads
from daemon.scheduler.spread_take import SpreadTake
from daemon.scheduler.standing import columns_of, shortage, standing, ties_of
from daemon.scheduler.unit_ask import DEVICES, NO_UNITS, Given, UnitAsk, choose_units
from daemon.scheduler.wishes import BOOST, NO_WISHES, Wishes
from daemon.scheduler.working import Working
from daemon.state.columns import Ints, Mask
from daemon.state.units import NO_CORES

_MANY = 1 << 40
_LOOKED_FOR = 64


class Ranker:
    """Ranks the rows of `mask` for one group. Follow every change of `working` by `changed(row)`."""

    def __init__(
        self,
        working: Working,
        group: str,
        *,
        mask: Mask,
        ask: tuple[int, int, int, int],
        desired: int,
        ports: PortAsk,
        distinct: list[Distinct],
        wishes: Wishes = NO_WISHES,
        one_a_row: bool = False,
        units: UnitAsk = NO_UNITS,
    ) -> None:
        self.working = working
        self.group = group
        self.mask = mask
        self.ask = ask
        self.desired = max(1, desired)
        self.ports = ports
        self.distinct = distinct
        self.ties = ties_of(working.fleet)
        self.wishes = wishes
        self.worth = wishes.worth
        self.rate = loose if wishes.loose else binpack
        #: parts of the score that every row has.
        self.terms = 1 + len(wishes.parts) + bool(units.weight)
        #: cores and devices; with any, every row is looked at by itself.
        self.units = units
        self.spreads = wishes.spreads
        #: nothing but packing and anti-affinity: the fleet's keys hold where the group is not.
        self.plain = self.worth is None and self.spreads is None
        self.present = working.counts(working.present, group)
        hosts = any(not isinstance(rule, DistinctProperty) for rule in distinct)
        self._one_a_row = one_a_row or hosts or bool(ports.exclusive)
        if ports.dynamic:
            self._numbers = self._numbers_per_alloc()
        self.left: Ints
        self.keys: Ints
        #: how many of the best rows were looked for, and which they are; None: keys have moved since.
        self._best: tuple[int, list[int]] | None = None
        self.refresh()

    def _numbers_per_alloc(self) -> Ints:
        """Numbers that one allocation uses up of each row's dynamic range (a static port may lie in it)."""
        fleet = self.working.fleet
        numbers: Ints = np.full(len(self.mask), len(self.ports.dynamic), dtype=np.int64)
        for port in self.ports.static:
            numbers += (fleet.port_min <= port.value) & (port.value <= fleet.port_max)
        return numbers

    def refresh(self) -> None:
        """Compute everything anew."""
        self._best = None
        working, mask = self.working, self.mask
        kept = standing(working.fleet, self.ask, spread=self.wishes.loose)
        # arithmetic, because a choice by a mask without a pattern costs five times as much.
        self.left = kept.left * mask
        if self._one_a_row:
            np.minimum(self.left, 1, out=self.left)
        if self.ports.dynamic:
            np.minimum(self.left, working.free_dynamic // self._numbers, out=self.left)
        own = self.own_rows()
        if self.plain:
            self.keys = kept.keys | (self.left <= 0) * np.int64(CLOSED)
        else:
            self.keys = np.full(len(mask), CLOSED, dtype=np.int64)
            rows = np.flatnonzero(self.left > 0)
            self.keys[rows] = self._keys(kept.pack[rows], rows)
        self._correct(own)
        for port in self.ports.exclusive:
            self._close(working.rows_with_port(port.value))
        for rule in self.distinct:
            self._close(np.flatnonzero(~rule.open_rows(working)))
        if self.units:
            self._one_by_one()

    def _one_by_one(self) -> None:
        """Rows of a group that asks for cores or devices: what they have by the piece is in no column."""
        for row in np.flatnonzero(self.left > 0).tolist():
            self.left[row] = self._room(row)
            self.keys[row] = self._key(row) if self.left[row] > 0 else CLOSED

    def given(self, row: int) -> Given | None:
        """Cores and devices of one more there; None when they are not to be had."""
        return choose_units(self.working, row, self.units)

    def ask_at(self, row: int) -> tuple[int, int, int, int]:
        """What one more counts for there: a core is as many MHz as the node's cores have."""
        count = self.units.core_count
        if not count:
            return self.ask
        _, core_mhz = self.working.fleet.units.cores.get(row, NO_CORES)
        return (self.ask[0] + count * core_mhz, *self.ask[1:])

    def own_rows(self) -> Ints:
        """Rows of which the fleet's columns do not tell the truth: the plan moved them, or the group is there."""
        touched = self.working.touched
        held = np.flatnonzero(self.present)
        if not touched:
            return held
        return np.union1d(np.fromiter(touched, dtype=np.int64, count=len(touched)), held)

    def _correct(self, rows: Ints) -> None:
        """Write what holds on these rows for this plan."""
        rows = rows[self.mask[rows]]
        if not len(rows):
            return
        working = self.working
        left, pack, _ = columns_of(working.fleet, self.ask, rows, working.used, spread=self.wishes.loose)
        if self._one_a_row:
            np.minimum(left, 1, out=left)
        if self.ports.dynamic:
            np.minimum(left, working.free_dynamic[rows] // self._numbers[rows], out=left)
        np.maximum(left, 0, out=left)
        keys = self._keys(pack, rows)
        keys[left == 0] = CLOSED
        self.left[rows], self.keys[rows] = left, keys

    def _keys(self, pack: Floats, rows: Ints) -> Ints:
        """Keys of rows whose packing part is given."""
        present, ties = self.present[rows], self.ties[rows]
        worth = None if self.worth is None else self.worth[rows]
        if self.spreads is not None:
            return part_rows(sum_rows(pack, present, self.desired, worth), ties)
        return key_rows(final_rows(pack, present, self.desired, worth, self.terms), ties)

    def _close(self, rows: Ints | list[int]) -> None:
        self._best = None
        self.left[rows] = 0
        self.keys[rows] = CLOSED

    def changed(self, row: int) -> None:
        """The plan placed or stopped something on the row."""
        if any(isinstance(rule, DistinctProperty) for rule in self.distinct):
            # counts of a value moved: any row that shares it may open or close.
            self.refresh()
            return
        self._best = None
        self.left[row] = self._room(row)
        self.keys[row] = self._key(row) if self.left[row] > 0 else CLOSED

    def numbers(self, row: int) -> int:
        """Free dynamic ports that one allocation needs there."""
        return int(self._numbers[row]) if self.ports.dynamic else 0

    def is_open(self, row: int) -> bool:
        """True when no distinct rule forbids one more there."""
        return all(
            rule.is_open(self.working, row)
            if isinstance(rule, DistinctHosts)
            else bool(rule.open_rows(self.working)[row])
            for rule in self.distinct
        )

    def _room(self, row: int) -> int:
        if not self.mask[row]:
            return 0
        working = self.working
        room = _MANY
        for i, amount in enumerate(self.ask_at(row)):
            free = int(working.fleet.capacity[i, row] - working.used[i, row])
            room = min(room, free // amount if amount > 0 else (_MANY if free >= 0 else 0))
        if self.ports.dynamic:
            room = min(room, int(working.free_dynamic[row]) // int(self._numbers[row]))
        if any(working.port_taken(row, port.value) for port in self.ports.exclusive):
            room = 0
        if any(isinstance(rule, DistinctHosts) and not rule.is_open(working, row) for rule in self.distinct):
            room = 0
        if self.units and room > 0:
            room = int(self.given(row) is not None)
        return max(0, min(room, 1) if self._one_a_row else room)

    def short(self, rows: Ints) -> Ints:
        """Per row the first dimension that is short, as an index of RESOURCES; -1: none."""
        return shortage(self.working.fleet, self.ask, rows, self.working.used)

    def packed(self, row: int, cpu: int, memory: int) -> float:
        """The packing part when so much is used there."""
        capacity = self.working.fleet.capacity
        cpu_whole, memory_whole = int(capacity[0, row]), int(capacity[1, row])
        return self.rate(
            1.0 - cpu / cpu_whole if cpu_whole > 0 else 0.0,
            1.0 - memory / memory_whole if memory_whole > 0 else 0.0,
        )

    def worth_of(self, row: int) -> float:
        """Sum of the parts that are the same whatever is placed."""
        return 0.0 if self.worth is None else float(self.worth[row])

    def own_sum(self, row: int) -> tuple[float, int]:
        """Sum and number of the parts that belong to the row alone, for one more there."""
        used, present = self.working.used, int(self.present[row])
        ask = self.ask_at(row)
        pack = self.packed(row, int(used[0, row]) + ask[0], int(used[1, row]) + ask[1])
        if self.units.weight and (given := self.given(row)) is not None:
            pack += given.score
        total = pack + self.worth_of(row) + anti_affinity(present, self.desired)
        return total, self.terms + (present > 0)

    def parts(self, rows: list[int], freed: tuple[int, int] = (0, 0)) -> list[dict[str, float]]:
        """Per row the parts of the score of one more, by the names that users know; the score is their mean.

        `freed`: cpu and memory that would become free.
        """
        whole = self.working.fleet.capacity[:2, rows].tolist()
        asked = [self.ask_at(row) for row in rows]
        more = [[ask[i] - freed[i] for ask in asked] for i in range(2)]
        after = (self.working.used[:2, rows] + np.array(more, dtype=np.int64)).tolist()
        counts = self.spreads.counts(self.working) if self.spreads is not None and rows else []
        found = []
        for row, cpu, memory, all_cpu, all_memory in zip(rows, *after, *whole, strict=True):
            pack = self.rate(
                1.0 - cpu / all_cpu if all_cpu > 0 else 0.0,
                1.0 - memory / all_memory if all_memory > 0 else 0.0,
            )
            present, parts = int(self.present[row]), {"binpack": pack}
            if present:
                parts["job-anti-affinity"] = anti_affinity(present, self.desired)
            parts.update((name, float(column[row])) for name, column in self.wishes.parts.items())
            if self.units.weight and (given := self.given(row)) is not None:
                parts[DEVICES] = given.score
            if self.spreads is not None:
                boost = self.spreads.boost(counts, int(self.spreads.combo[row]))
                if steps(boost):
                    parts[BOOST] = boost
            found.append(parts)
        return found

    def _key(self, row: int, penalty: float = 0.0) -> int:
        total, terms = self.own_sum(row)
        tie = int(self.ties[row])
        if self.spreads is not None:
            return part_key(total, tie)
        return key_one((total - penalty) / (terms + (penalty > 0)), tie)

    def pick(self, penalised: Iterable[int] = (), preferred: int = -1) -> int:
        """Best row for one more, -1 when none can take it."""
        if preferred >= 0 and self.keys[preferred] != CLOSED:
            return preferred
        worse = [row for row in penalised if row >= 0 and self.keys[row] != CLOSED]
        if self.spreads is not None:
            rows, costs = self._costs(self.spreads, worse)
            if not len(rows):
                return -1
            rows = rows[costs == costs.min()]
            return int(rows[np.argmin(self.ties[rows])])
        kept = self.keys[worse]
        for row in worse:
            self.keys[row] = self._key(row, 1.0)
        best = int(np.argmin(self.keys))
        found = self.keys[best] != CLOSED
        self.keys[worse] = kept
        return best if found else -1

    def _costs(self, spreads: Spreads, penalised: list[int]) -> tuple[Ints, Ints]:
        """Open rows and their costs, boosts included."""
        rows = np.flatnonzero(self.keys != CLOSED)
        boosts = np.rint(spreads.boosts(spreads.counts(self.working)) * 1e6).astype(np.int64)
        boost = boosts[spreads.combo[rows]]
        own = own_steps(self.keys[rows])
        terms = self.terms + (self.present[rows] > 0)
        worse = np.isin(rows, penalised)
        own[worse] -= steps(1.0)
        terms[worse] += 1
        return rows, mean_cost(own, boost, terms)

    def best_rows(self, count: int) -> list[int]:
        """The `count` best rows as they stand, best first."""
        if self.spreads is not None:
            rows, costs = self._costs(self.spreads, [])
            if len(rows) > count:
                kept = costs <= np.partition(costs, count - 1)[count - 1]
                rows, costs = rows[kept], costs[kept]
            order = np.lexsort((self.ties[rows], costs))[:count]
            return rows[order].tolist()  # type: ignore[no-any-return]
        if self._best is None or count > self._best[0]:
            # those that will be placed are looked for at once with those that are only shown.
            most = max(count, min(self.desired, _LOOKED_FOR))
            self._best = most, best_of(self.keys, most)
        return self._best[1][:count]

    def _near(self, count: int) -> list[int]:
        """The best rows for a bulk; of this fleet's own share of the nodes while that is nearly as good."""
        rows = self.best_rows(count)
        slot, shares = self.working.fleet.share
        if shares <= 1 or not rows:
            return rows
        own = best_of(np.where(share_numbers(self.ties, shares) == slot, self.keys, CLOSED), count)
        enough = int(self.left[own].sum()) >= min(count, int(self.left[rows].sum()))
        near = own and self.keys[own[-1]] - self.keys[rows[-1]] <= NEAR_STEPS << COST_SHIFT
        return own if enough and near else rows

    def take(self, count: int) -> list[int]:
        """Rows of up to `count` placements in the order of the choice; the caller places them in `working`."""
        rules = [rule for rule in self.distinct if isinstance(rule, DistinctProperty)]
        closing = Closing(rules, self.working)
        if self.spreads is not None:
            return SpreadTake(self, self.spreads, closing, count).take()
        # a value that closes takes rows with it, so that any row may be needed.
        rows = best_of(self.keys, len(self.keys)) if rules else self._near(count)
        if not rows:
            return []
        heap: list[int] = self.keys[rows].tolist()
        place = {row: i for i, row in enumerate(rows)}
        working, capacity = self.working, self.working.fleet.capacity
        cpu, memory = working.used[0, rows].tolist(), working.used[1, rows].tolist()
        whole_cpu, whole_memory = capacity[0, rows].tolist(), capacity[1, rows].tolist()
        present, left, ties = self.present[rows].tolist(), self.left[rows].tolist(), self.ties[rows].tolist()
        worth = None if self.worth is None else self.worth[rows].tolist()
        rate, terms, ask_cpu, ask_memory = self.rate, self.terms + 1, self.ask[0], self.ask[1]
        picks: list[int] = []
        while heap and len(picks) < count:
            row = heap[0] & ROW_MASK
            if rules:
                if not closing.open(row):
                    heapq.heappop(heap)
                    continue
                closing.add(row)
            picks.append(row)
            i = place[row]
            left[i] -= 1
            if left[i] <= 0:
                heapq.heappop(heap)
                continue
            cpu[i] += ask_cpu
            memory[i] += ask_memory
            present[i] += 1
            # as in `own_sum`, to the bit.
            total = rate(
                1.0 - (cpu[i] + ask_cpu) / whole_cpu[i] if whole_cpu[i] > 0 else 0.0,
                1.0 - (memory[i] + ask_memory) / whole_memory[i] if whole_memory[i] > 0 else 0.0,
            )
            if worth is not None:
                total += worth[i]
            total -= (present[i] + 1) / self.desired
            heapq.heapreplace(heap, key_one(total / terms, ties[i]))
        return picks
