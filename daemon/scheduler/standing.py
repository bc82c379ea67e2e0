"""Standing: room, packing score and key of every row for one ask, kept from evaluation to evaluation. Pure.

Theory: most evaluations ask for what an earlier one asked for, and between two of them only a few rows changed. The
columns are computed once per ask and then only where the fleet's usage was stamped since. They know nothing of a
job: masks, ports, anti-affinity and what the plan itself moves are the ranker's.

Non-goals: more than a few asks at once; the one that was not used for longest goes.

Source: spec/scheduler.md 4.6, 5.1; architecture.md "Fleet".
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from daemon.scheduler.feasible import cached
from daemon.scheduler.ids import order_numbers
from daemon.scheduler.score import CLOSED, Floats, inverse_capacity, key_rows, pack_rows, tie_numbers
from daemon.state.columns import Ints
from daemon.state.fleet import Fleet

Ask = tuple[int, int, int, int]

#: asks whose columns are kept; about 20 bytes a node each.
_KEPT_MAX = 16
_MANY = 1 << 40
#: the order in which a shortage is reported: the limit of allocations, then cpu, memory, disk.
ORDER = (3, 0, 1, 2)


class Columns(NamedTuple):
    """Of some rows: how many more fit, the packing score of one more, its key when nothing else counts."""

    left: Ints
    pack: Floats
    keys: Ints


@dataclass
class _Kept:
    shape_version: int
    usage_version: int
    columns: Columns


def standing(fleet: Fleet, ask: Ask, *, spread: bool = False) -> Columns:
    """Columns of all rows for one more of `ask`, as the fleet stands. Only to be read. `spread`: by that algorithm."""
    kept: OrderedDict[tuple[Ask, bool], _Kept] = fleet.cache.setdefault("standing", OrderedDict())
    key = (ask, spread)
    found = kept.get(key)
    if found is None or found.shape_version != fleet.shape_version:
        columns = _compute(fleet, ask, slice(None), fleet.total, spread)
        found = kept[key] = _Kept(fleet.shape_version, fleet.usage_version, columns)
        if len(kept) > _KEPT_MAX:
            kept.popitem(last=False)
    elif found.usage_version != fleet.usage_version:
        rows = np.flatnonzero(fleet.usage_stamp > found.usage_version)
        fresh = columns_of(fleet, ask, rows, fleet.total, spread=spread)
        found.columns.left[rows] = fresh.left
        found.columns.pack[rows] = fresh.pack
        found.columns.keys[rows] = fresh.keys
        found.usage_version = fleet.usage_version
    kept.move_to_end(key)
    return found.columns


def columns_of(fleet: Fleet, ask: Ask, rows: Ints, used: Ints, *, spread: bool = False) -> Columns:
    """The same for some rows, with the usage given (all rows of it)."""
    return _compute(fleet, ask, rows, used.take(rows, axis=1), spread)


def _compute(fleet: Fleet, ask: Ask, rows: Ints | slice, used: Ints, spread: bool) -> Columns:
    capacity, inverse = fleet.capacity[:, rows], inverse_of(fleet)[:, rows]
    # every allocation takes one of the node's limit of allocations.
    left: Ints = capacity[3] - used[3]
    for i in range(3):
        free, amount = capacity[i] - used[i], ask[i]
        np.minimum(left, free // amount if amount > 0 else np.where(free >= 0, _MANY, 0), out=left)
    np.maximum(left, 0, out=left)
    pack = pack_rows(used, ask, inverse, spread=spread)
    keys = key_rows(pack, ties_of(fleet)[rows])
    keys[left == 0] = CLOSED
    return Columns(left, pack, keys)


def inverse_of(fleet: Fleet) -> Floats:
    """Per row (cpu, memory) the factor from usage to the exponent of packing."""
    return cached(fleet, "inverse capacity", lambda: inverse_capacity(fleet.capacity))


def ties_of(fleet: Fleet) -> Ints:
    """By which equal scores are told apart: the order of this fleet's owner."""
    kept: tuple[int, Ints] | None = fleet.cache.get("ties")
    if kept is None or len(kept[1]) != fleet.length or kept[0] != fleet.order:
        kept = fleet.cache["ties"] = (fleet.order, tie_numbers(order_numbers(fleet.order, fleet.length)))
    return kept[1]


def shortage(fleet: Fleet, ask: Ask, rows: Ints, used: Ints) -> NDArray[np.int64]:
    """Per row the first dimension of `ORDER` that is short, as an index of RESOURCES; -1 where none is."""
    short: Ints = np.full(len(rows), -1, dtype=np.int64)
    for i in reversed(ORDER):
        short[used[i, rows] + ask[i] > fleet.capacity[i, rows]] = i
    return short
