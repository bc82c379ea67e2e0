"""Affinities: what a node is worth by preferences, one figure a row. Pure.

Theory: the weights of the affinities that hold, over the sum of all absolute weights; those of the job, the group and
its tasks together. It is a part of the score as soon as there is any affinity, even where it is 0, so that a node
without any match stands below one with a match by more than the others' parts can blur.

Source: spec/scheduler.md 4.3, 5.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daemon.model.job import Job, TaskGroup
from daemon.model.policies import Affinity, Constraint
from daemon.scheduler.targets import constraint_mask
from daemon.state.fleet import Fleet


def affinities_of(job: Job, group: TaskGroup) -> tuple[Affinity, ...]:
    """All that bear on the group."""
    of_tasks = tuple(affinity for task in group.tasks for affinity in task.affinities)
    return (*job.affinities, *group.affinities, *of_tasks)


def affinity_column(fleet: Fleet, affinities: tuple[Affinity, ...]) -> NDArray[np.float64] | None:
    """Per row a figure from -1 to 1; None where nothing is preferred."""
    whole = sum(abs(affinity.weight) for affinity in affinities)
    if not whole:
        return None
    weights = np.zeros(fleet.length, dtype=np.int64)
    for affinity in affinities:
        rule = Constraint(l_target=affinity.l_target, r_target=affinity.r_target, operand=affinity.operand)
        weights += affinity.weight * constraint_mask(fleet, rule)
    column: NDArray[np.float64] = weights / whole
    return column
