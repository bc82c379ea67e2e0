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

Floats = NDArray[np.float32]
_LN10 = np.float32(np.log(10.0))

#: a key of a row that cannot take any.
CLOSED = int(np.iinfo(np.int64).max)
_STEP = 1_000_000
_COST_SHIFT = 41
ROW_MASK = (1 << 21) - 1


def binpack(cpu_free: float, memory_free: float) -> float:
    """Score of one node from the free shares after placing."""
    total: float = 10.0**cpu_free + 10.0**memory_free
    return min(18.0, max(0.0, 20.0 - total)) / 18.0


def inverse_capacity(capacity: Ints) -> Floats:
    """Per row (cpu, memory) the factor from usage to the exponent; 0 where there is no capacity."""
    whole = capacity[:2].astype(np.float32)
    factor: Floats = np.zeros_like(whole)
    np.divide(-_LN10, whole, out=factor, where=whole > 0)
    return factor


def binpack_rows(used: Ints, ask: tuple[int, ...], inverse: Floats) -> Floats:
    """The same for columns (cpu, memory): within 4e-7, which the step of ranking swallows.

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
    np.subtract(20.0, score, out=score)
    np.clip(score, 0.0, 18.0, out=score)
    score /= 18.0
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
    held = np.flatnonzero(present)
    if not len(held):
        return pack
    mean = pack.copy()
    mean[held] = (pack[held] - (present[held] + 1) / desired) / 2.0
    return mean


def key_rows(scores: Floats, ties: Ints) -> Ints:
    """Ranking keys, smallest best. `ties` as from `tie_numbers`."""
    keys: Ints = np.rint((np.float32(2.0) - scores) * np.float32(_STEP)).astype(np.int64)
    keys <<= _COST_SHIFT
    keys |= ties
    return keys


def key_one(score: float, tie: int) -> int:
    """Ranking key of one row."""
    return (round((2.0 - score) * _STEP) << _COST_SHIFT) | tie


def tie_numbers(shuffle: Ints) -> Ints:
    """Below the cost: 20 seeded bits, then the row."""
    numbers: Ints = (shuffle << 21) | np.arange(len(shuffle), dtype=np.int64)
    return numbers
