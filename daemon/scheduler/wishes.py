"""What a group prefers, besides what it needs: the parts of the score that stand before anything is placed. Pure.

Theory: affinities come from the job file. Where the job failed lately comes from the leader, which remembers longer
than the trackers of allocations do; it fades, so that a node that was mended is used again.

Source: spec/scheduler.md 5.1, 5.2.
"""

from __future__ import annotations

from collections.abc import Mapping
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
FAILURES = "recent-failures"


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


def wishes_of(
    job: Job, group: TaskGroup, fleet: Fleet, config: SchedulerConfig, failures: Mapping[str, float]
) -> Wishes:
    """All that bears on the group. `failures`: node id -> how much the job's failures there count, 0 to 1."""
    parts = {}
    affinity = affinity_column(fleet, affinities_of(job, group))
    if affinity is not None:
        parts[AFFINITY] = affinity
    rows = {fleet.row_of[node_id]: worth for node_id, worth in failures.items() if node_id in fleet.row_of}
    if rows:
        parts[FAILURES] = np.zeros(fleet.length)
        parts[FAILURES][list(rows)] = [-worth for worth in rows.values()]
    return Wishes(parts, spreads_of(fleet, job, group), config.scheduler_algorithm == SPREAD)
