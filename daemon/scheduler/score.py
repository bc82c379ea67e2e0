"""Scores of nodes, exact, for all of them at once and for one again. Pure.

Theory: the final score is the mean of what applies: packing always; anti-affinity where the group is on the node
already; what the node is worth by preferences where the group has any; the penalty where an earlier try failed. For
ranking, scores become integers in steps of 1e-6, so that equal means equal, and below them the seeded tie number and
the row: one int64 orders everything. Where the group spreads, a row's key holds the sum of its own parts instead of
the mean: the boost of its values is added, and the mean taken, when rows are compared (`mean_cost`).

Source: spec/scheduler.md 5.1.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from daemon.state.columns import Ints

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
T = TypeVar("T", int, Ints)
_LN10 = np.float32(np.log(10.0))

#: a key of a row that cannot take any.
CLOSED = int(np.iinfo(np.int64).max)
_STEP = 1_000_000
COST_SHIFT = 41
ROW_MASK = (1 << 21) - 1
TIE_MASK = (1 << COST_SHIFT) - 1
_MOST_COST = (1 << 22) - 1
#: rows of one stretch in the search for the best.
_STRIDE = 64
#: a row of one's own share that is worse by no more than this is taken while workers get in each other's way.
NEAR_STEPS = 10_000
#: the best sum of a row's own parts: packing and affinities, 1 each.
_BEST_SUM = 2 * _STEP


def binpack(cpu_free: float, memory_free: float) -> float:
    """Score of one node from the free shares after placing."""
    total: float = 10.0**cpu_free + 10.0**memory_free
    return min(18.0, max(0.0, 20.0 - total)) / 18.0


def loose(cpu_free: float, memory_free: float) -> float:
    """The same under the algorithm `spread`, which likes free nodes."""
    total: float = 10.0**cpu_free + 10.0**memory_free
    return min(18.0, max(0.0, total - 2.0)) / 18.0


def inverse_capacity(capacity: Ints) -> Floats:
    """Per row (cpu, memory) the factor from usage to the exponent; 0 where there is no capacity."""
    whole = capacity[:2].astype(np.float32)
    factor: Floats = np.zeros_like(whole)
    np.divide(-_LN10, whole, out=factor, where=whole > 0)
    return factor


def pack_rows(used: Ints, ask: tuple[int, ...], inverse: Floats, *, spread: bool = False) -> Floats:
    """`binpack`, or `loose`, for columns (cpu, memory): within 4e-7, which the step of ranking swallows.

    Cost: single precision makes the exponentials ten times as fast, and they are most of an evaluation.
    """
    power = used[:2].astype(np.float32)
    power += np.array(ask[:2], dtype=np.float32)[:, None]
    power *= inverse
    power += _LN10
    # without capacity nothing is free.
    power[inverse == 0] = 0.0
    np.exp(power, out=power)
    score: Floats = power[0]
    score += power[1]
    if spread:
        score -= 2.0
    else:
        np.subtract(20.0, score, out=score)
    np.clip(score, 0.0, 18.0, out=score)
    score /= 18.0
    return score


def anti_affinity(present: int, desired: int) -> float:
    """The part of a node that has the group already."""
    return -(present + 1) / desired if present > 0 else 0.0


def final_rows(
    pack: Floats, present: Ints, desired: int, worth: Doubles | None = None, terms: int = 1
) -> Floats | Doubles:
    """Means of the parts of all rows, without penalties and boosts. `terms`: parts that every row has."""
    held = np.flatnonzero(present)
    if worth is not None:
        mean = sum_rows(pack, present, desired, worth)
        mean /= np.where(present > 0, terms + 1.0, float(terms))
        return mean
    if not len(held):
        return pack
    halves = pack.copy()
    halves[held] = (pack[held] - (present[held] + 1) / desired) / 2.0
    return halves


def sum_rows(pack: Floats, present: Ints, desired: int, worth: Doubles | None) -> Doubles:
    """Sums of the same parts."""
    total: Doubles = pack.astype(np.float64)
    if worth is not None:
        total += worth
    held = np.flatnonzero(present)
    total[held] -= (present[held] + 1) / desired
    return total


def key_rows(scores: Floats | Doubles, ties: Ints) -> Ints:
    """Ranking keys of means, smallest best. `ties` as from `tie_numbers`."""
    costs = np.rint((np.float32(2.0) - scores) * np.float32(_STEP)).astype(np.int64)
    return _keys(costs, ties)


def key_one(score: float, tie: int) -> int:
    """Ranking key of one row."""
    return (min(round((2.0 - score) * _STEP), _MOST_COST) << COST_SHIFT) | tie


def part_rows(totals: Doubles, ties: Ints) -> Ints:
    """Keys of sums, to which boosts will be added."""
    return _keys(_BEST_SUM - np.rint(totals * _STEP).astype(np.int64), ties)


def part_key(total: float, tie: int) -> int:
    """The same for one row."""
    return (min(_BEST_SUM - round(total * _STEP), _MOST_COST) << COST_SHIFT) | tie


def _keys(costs: Ints, ties: Ints) -> Ints:
    """Costs above ties. The worst scores of all, 2 below the rest, are all the same."""
    keys: Ints = np.minimum(costs, _MOST_COST)
    keys <<= COST_SHIFT
    keys |= ties
    return keys


def own_steps(keys: T) -> T:
    """The sums that keys of `part_rows` hold, in steps."""
    return _BEST_SUM - (keys >> COST_SHIFT)


def steps(score: float) -> int:
    """A part as a whole number of steps."""
    return round(score * _STEP)


def mean_cost(own: T, boost: T, terms: T) -> T:
    """Minus the mean, in steps, of a row's `terms` parts (sum: `own`) and a boost, which counts unless 0."""
    terms = terms + (boost != 0)
    return -((2 * (own + boost) + terms) // (2 * terms))


def tie_numbers(shuffle: Ints) -> Ints:
    """Below the cost: 20 seeded bits, then the row."""
    numbers: Ints = (shuffle << 21) | np.arange(len(shuffle), dtype=np.int64)
    return numbers


def best_of(keys: Ints, count: int) -> list[int]:
    """Rows of the `count` smallest keys, best first."""
    if count < len(keys) // _STRIDE:
        # the count best of the stretches' best bound what can be among the best.
        heads = np.minimum.reduceat(keys, np.arange(0, len(keys), _STRIDE))
        keys = keys[keys <= np.partition(heads, count - 1)[count - 1]]
    keys = keys[keys != CLOSED]
    if len(keys) > count:
        keys = np.partition(keys, count - 1)[:count]
    keys.sort()
    best: list[int] = (keys & ROW_MASK).tolist()
    return best


def share_numbers(ties: Ints, shares: int) -> Ints:
    """Per row the share of the nodes that it belongs to, the same for all workers."""
    rows = (ties & ROW_MASK).astype(np.uint64)
    return ((rows * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)).astype(np.int64) % shares
