"""Scores of nodes, exact, for all of them at once and for one again. Pure.

Theory: the final score is the mean of what applies: bin packing always; anti-affinity where the group is on the
node already; the penalty where an earlier try failed. For ranking, scores become integers in steps of 1e-6, so that
equal means equal, and below them the seeded tie number and the row: one int64 orders everything.

Source: spec/scheduler.md 5.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daemon.state.columns import Ints

Floats = NDArray[np.float64]

#: a key of a row that cannot take any.
CLOSED = int(np.iinfo(np.int64).max)
_STEP = 1_000_000
_COST_SHIFT = 41
ROW_MASK = (1 << 21) - 1


def binpack(cpu_free: float, memory_free: float) -> float:
    """Score of one node from the free shares after placing."""
    total: float = 10.0**cpu_free + 10.0**memory_free
    return min(18.0, max(0.0, 20.0 - total)) / 18.0


def binpack_rows(used: Ints, capacity: Ints) -> Floats:
    """The same for columns (cpu, memory)."""
    whole = np.maximum(capacity[:2], 1)
    free = 1.0 - used[:2] / whole
    free[capacity[:2] <= 0] = 0.0
    total: Floats = np.exp(free * np.log(10.0)).sum(axis=0)
    score: Floats = np.clip(20.0 - total, 0.0, 18.0) / 18.0
    return score


def final(pack: float, present: int, desired: int, penalised: bool) -> float:
    """Mean of the scores of one node."""
    total, terms = pack, 1
    if present > 0:
        total -= (present + 1) / desired
        terms += 1
    if penalised:
        total -= 1.0
        terms += 1
    return total / terms


def final_rows(pack: Floats, present: Ints, desired: int) -> Floats:
    """The same for columns, without penalties."""
    mean: Floats = np.where(present > 0, (pack - (present + 1) / desired) / 2.0, pack)
    return mean


def key_rows(scores: Floats, ties: Ints) -> Ints:
    """Ranking keys, smallest best. `ties` as from `tie_numbers`."""
    cost = np.rint((2.0 - scores) * _STEP).astype(np.int64)
    keys: Ints = (cost << _COST_SHIFT) | ties
    return keys


def key_one(score: float, tie: int) -> int:
    """Ranking key of one row."""
    return (round((2.0 - score) * _STEP) << _COST_SHIFT) | tie


def tie_numbers(shuffle: Ints) -> Ints:
    """Below the cost: 20 seeded bits, then the row."""
    numbers: Ints = (shuffle << 21) | np.arange(len(shuffle), dtype=np.int64)
    return numbers
