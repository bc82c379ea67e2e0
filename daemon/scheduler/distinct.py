"""distinct_hosts and distinct_property. Pure.

Theory: both depend on where the job's allocations are, so that every placement and stop of the plan moves them.
distinct_hosts is a limit of one per row; distinct_property keeps a count per value and closes a value's rows.

Source: spec/scheduler.md 4.4.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from daemon.model.job import Job, TaskGroup
from daemon.model.policies import Constraint
from daemon.scheduler.targets import column_of
from daemon.scheduler.working import Working
from daemon.state.columns import Codes, Ints, Mask

_OFF = frozenset({"false", "f", "0", "False", "FALSE", "F"})


class DistinctHosts:
    """At most one allocation of the job (or group) on a node."""

    def __init__(self, scope: str, group: str) -> None:
        self.scope = scope
        self.group = group
        self.reason = "distinct_hosts"

    def open_rows(self, working: Working) -> Mask:
        """Rows without any."""
        if self.scope == "job":
            total = working.job_total(working.present)
        else:
            total = working.counts(working.present, self.group)
        free: Mask = total == 0
        return free

    def is_open(self, working: Working, row: int) -> bool:
        """The same for one row."""
        if self.scope == "job":
            return not any(column[row] for column in working.present.values())
        return not working.counts(working.present, self.group)[row]


class DistinctProperty:
    """At most `allowed` allocations of the job (or group) per value of a node's property."""

    def __init__(self, constraint: Constraint, scope: str, group: str, working: Working) -> None:
        self.constraint = constraint
        self.scope = scope
        self.group = group
        right = constraint.r_target
        self.allowed = int(right) if right.isascii() and right.isdigit() and int(right) > 0 else 1
        self.reason = f"distinct_property: {constraint.l_target}"
        column = column_of(working.fleet, constraint.l_target)
        length = working.fleet.length
        self.words: list[str] = [] if column is None else column.vocabulary
        self.codes: Codes = np.full(length, -1, dtype=np.int32) if column is None else column.codes

    def counts(self, working: Working) -> Ints:
        """Uses of each value, by code."""
        if self.scope == "job":
            live = working.job_total(working.live)
        else:
            live = working.counts(working.live, self.group)
        has = self.codes >= 0
        used = np.bincount(self.codes[has], weights=live[has], minlength=max(1, len(self.words)))
        return used.astype(np.int64)

    def open_rows(self, working: Working) -> Mask:
        """Rows whose value may take one more; without the property: never."""
        open_values = self.counts(working) < self.allowed
        mask: Mask = np.append(open_values, False)[self.codes] & (self.codes >= 0)
        return mask


Distinct = DistinctHosts | DistinctProperty


class Closing:
    """Counts of property values while a bulk is taken."""

    def __init__(self, rules: list[DistinctProperty], working: Working) -> None:
        self.rules = rules
        self._counts = [rule.counts(working).tolist() for rule in rules]

    def open(self, row: int) -> bool:
        """True when the row's values may take one more."""
        return all(
            counts[int(rule.codes[row])] < rule.allowed
            for rule, counts in zip(self.rules, self._counts, strict=True)
        )

    def add(self, row: int) -> None:
        """One more is placed there."""
        for rule, counts in zip(self.rules, self._counts, strict=True):
            counts[int(rule.codes[row])] += 1


def distinct_rules(job: Job, group: TaskGroup, working: Working) -> list[Distinct]:
    """The rules that bind the group."""
    of_tasks = tuple(constraint for task in group.tasks for constraint in task.constraints)
    rules: list[Distinct] = []
    for scope, constraints in (("job", job.constraints), ("group", (*group.constraints, *of_tasks))):
        rules.extend(_rules(scope, constraints, group.name, working))
    return rules


def _rules(scope: str, constraints: Iterable[Constraint], group: str, working: Working) -> Iterable[Distinct]:
    for constraint in constraints:
        if constraint.operand == "distinct_hosts" and constraint.r_target not in _OFF:
            yield DistinctHosts(scope, group)
        elif constraint.operand == "distinct_property":
            yield DistinctProperty(constraint, scope, group, working)
