"""Neighbours: allocations that a job may end to make room for itself, on some nodes. Pure.

Source: spec/scheduler.md 5.4; daemon/scheduler/preempt.py.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from daemon.model.alloc import Allocation
from daemon.model.job import Job
from daemon.model.plan import EvalInput, Neighbour
from daemon.state.state import State
from daemon.state.units import units_of
from daemon.state.usage import ports_of, usage_of

#: how much more important a job must be than those whose work it ends.
PRIORITY_GAP = 10


def neighbours(state: State, job: Job, node_ids: Iterable[str]) -> dict[str, tuple[Neighbour, ...]]:
    """Per node the wanted allocations of jobs that are less important by enough."""
    jobs: dict[tuple[str, str], Job | None] = {}

    def job_of(alloc: Allocation) -> Job | None:
        key = (alloc.namespace, alloc.job_id)
        if key not in jobs:
            jobs[key] = state.job(*key)
        return jobs[key]

    def less_important(node_id: str) -> Iterable[Neighbour]:
        for alloc in state.allocs_by_node(node_id):
            other = None if alloc.terminal else job_of(alloc)
            if other is None or other.key == job.key or job.priority - other.priority < PRIORITY_GAP:
                continue
            group = other.group(alloc.task_group)
            migrate = group.migrate if group is not None else None
            yield Neighbour(
                alloc_id=alloc.id,
                namespace=alloc.namespace,
                job_id=alloc.job_id,
                task_group=alloc.task_group,
                priority=other.priority,
                max_parallel=migrate.max_parallel if migrate is not None else 0,
                usage=usage_of(alloc.allocated_resources),
                ports=ports_of(alloc),
                units=units_of(alloc),
            )

    return {node_id: tuple(less_important(node_id)) for node_id in node_ids}


def seeing(state: State, item: EvalInput, node_ids: Iterable[str]) -> EvalInput:
    """The input with the neighbours on these nodes besides those that it has."""
    if item.job is None:
        return item
    more = neighbours(state, item.job, node_ids)
    return msgspec.structs.replace(item, neighbours={**item.neighbours, **more})
