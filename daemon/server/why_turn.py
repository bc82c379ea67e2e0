"""Why a launched job, or the rest of a group, waits though there is room: max_running, in plain words. Pure.

Source: users/wants.md 1, 25.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.evaluation.run_limits import standing
from daemon.model.alloc import Allocation
from daemon.model.enums import EvalStatus, JobStatus
from daemon.model.job import Job, TaskGroup
from daemon.state.state import State


def waiting_for_turn(state: State, job: Job) -> str:
    """Words for a launched job that has not begun; "" when it has, or when nothing limits it."""
    if not job.parent_id or job.stop or job.status != JobStatus.PENDING:
        return ""
    parent = state.job(job.namespace, job.parent_id)
    if parent is None or not parent.max_running or not _not_begun(state, job):
        return ""
    found = state.children(job.namespace, parent.id)
    siblings = [] if found is None else [state.job(job.namespace, id_) for id_ in found.ids]
    live = [each for each in siblings if each is not None and each.status != JobStatus.DEAD]
    waiting = [each for each in live if each.status == JobStatus.PENDING and _not_begun(state, each)]
    mine = (-job.priority, job.create_index)
    ahead = sum(1 for each in waiting if (-each.priority, each.create_index) < mine)
    return (
        f"waits for its turn: {len(live) - len(waiting)} launches of {parent.id} run, "
        f"max_running is {parent.max_running}, and {ahead} are ahead of it."
    )


def _not_begun(state: State, job: Job) -> bool:
    return all(e.status == EvalStatus.PENDING for e in state.evals_by_job(*job.key)) and not any(
        True for _ in state.allocs_by_job(*job.key)
    )


def limit_lines(job: Job, group: TaskGroup, allocs: Sequence[Allocation]) -> list[str]:
    """Words for a group of which only some may run at once; those that failed for good are over, too."""
    if not group.max_running:
        return []
    done, busy = standing(job, group, tuple(allocs))
    left = group.count - len(done) - len(busy)
    if left <= 0 or len(busy) < group.max_running:
        return []
    return [f"{left} wait for their turn: max_running lets {group.max_running} run at once."]
