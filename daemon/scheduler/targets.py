"""Targets of constraints on the fleet's columns, and constraints as masks over rows. Pure.

Theory: each distinct value is compared once, the mask is then an index operation. Masks are kept in the fleet's
cache under the version of the column that they were made from, because jobs ask the same things again and again.

Source: spec/scheduler.md 4.2, 4.3; architecture.md "Fleet".
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from daemon.model.policies import Constraint
from daemon.scheduler.operators import canonical, holds
from daemon.state.columns import Codes, Column, Mask
from daemon.state.fleet import Fleet

_CACHED = 512
_NODE_COLUMNS = {
    "node.unique.id": "node_id",
    "node.unique.name": "node_name",
    "node.datacenter": "datacenter",
    "node.class": "node_class",
    "node.pool": "pool",
}


def key_of(target: str) -> str | None:
    """What stands between `${` and `}`; None for a literal."""
    if target.startswith("${") and target.endswith("}"):
        return target[2:-1]
    return None


def escapes(constraint: Constraint) -> bool:
    """True when nodes of one computed class can differ in it."""
    return any("unique." in target for target in (constraint.l_target, constraint.r_target) if key_of(target))


def column_of(fleet: Fleet, target: str) -> Column | None:
    """Column of a `${...}` target; None: absent on every node."""
    key = key_of(target) or ""
    if key in _NODE_COLUMNS:
        column: Column = getattr(fleet, _NODE_COLUMNS[key])
        return column
    return fleet.column(key) if key.startswith(("attr.", "meta.")) else None


def constraint_mask(fleet: Fleet, constraint: Constraint) -> Mask:
    """Rows that satisfy the constraint. Callers must not write to it."""
    left = column_of(fleet, constraint.l_target)
    right = column_of(fleet, constraint.r_target)
    stamp = (
        fleet.length,
        -1 if left is None else left.version,
        -1 if right is None else right.version,
    )
    key = (constraint.l_target, constraint.operand, constraint.r_target)
    cached = fleet.cache.get(key)
    if cached is not None and cached[0] == stamp:
        mask: Mask = cached[1]
        return mask
    mask = _evaluate(fleet, constraint, left, right)
    mask.flags.writeable = False
    remember(fleet, key, (stamp, mask))
    return mask


def remember(fleet: Fleet, key: Hashable, value: object) -> None:
    """Keep something in the fleet's cache, which forgets the oldest."""
    if len(fleet.cache) >= _CACHED and key not in fleet.cache:
        del fleet.cache[next(iter(fleet.cache))]
    fleet.cache[key] = value


def _evaluate(fleet: Fleet, constraint: Constraint, left: Column | None, right: Column | None) -> Mask:
    literal_left = None if key_of(constraint.l_target) is not None else constraint.l_target
    literal_right = None if key_of(constraint.r_target) is not None else constraint.r_target
    operand = canonical(constraint.operand)
    if left is None and right is None:
        return np.full(fleet.length, holds(operand, literal_left, literal_right), dtype=np.bool_)
    if right is None and left is not None:
        if operand == "=" and literal_right is not None:
            equal: Mask = left.codes == left.code(literal_right)
            return equal
        table = [holds(operand, word, literal_right) for word in (*left.vocabulary, None)]
        return _lookup(table, left.codes)
    if left is None and right is not None:
        table = [holds(operand, literal_left, word) for word in (*right.vocabulary, None)]
        return _lookup(table, right.codes)
    assert left is not None and right is not None
    pairs, inverse = np.unique(np.stack((left.codes, right.codes)), axis=1, return_inverse=True)
    words_left, words_right = (*left.vocabulary, None), (*right.vocabulary, None)
    table = [holds(operand, words_left[a], words_right[b]) for a, b in pairs.T.tolist()]
    return np.array(table, dtype=np.bool_)[inverse.reshape(-1)]


def _lookup(table: list[bool], codes: Codes) -> Mask:
    """Index the table by code; code -1 is its last entry, the answer for absent."""
    return np.array(table, dtype=np.bool_)[codes]
