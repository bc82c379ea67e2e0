"""What a group prefers, besides what it needs: the parts of the score that come from the job file. Pure.

Source: spec/scheduler.md 5.1, 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from daemon.model.job import Job, TaskGroup
from daemon.model.scheduler_config import SPREAD, SchedulerConfig
from daemon.scheduler.affinity import affinities_of, affinity_column
from daemon.scheduler.spread import Spreads, spreads_of
from daemon.state.fleet import Fleet

AFFINITY = "node-affinity"
BOOST = "allocation-spread"


@dataclass(frozen=True)
class Wishes:
    """Preferences of one group on one fleet."""

    #: name of a part of the score -> its figure for each row; every row has it.
    parts: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    spreads: Spreads | None = None
    #: free nodes first (the algorithm `spread`).
    loose: bool = False

    @property
    def worth(self) -> NDArray[np.float64] | None:
        """Sum of the parts; None without any."""
        return reduce(np.add, self.parts.values()) if self.parts else None


NO_WISHES = Wishes()


def wishes_of(job: Job, group: TaskGroup, fleet: Fleet, config: SchedulerConfig) -> Wishes:
    """All that bears on the group."""
    parts = {}
    affinity = affinity_column(fleet, affinities_of(job, group))
    if affinity is not None:
        parts[AFFINITY] = affinity
    return Wishes(parts, spreads_of(fleet, job, group), config.scheduler_algorithm == SPREAD)
