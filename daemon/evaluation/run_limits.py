"""max_running of a batch group: the scheduler is shown no more of the group than may run now. Pure.

Theory: of `count` allocations those that are over keep their names, so the group's count, as the scheduler sees it, is
how many are over plus how many may run at once; each one that ends asks for an evaluation, which moves the count up by
one. A failed allocation that will be replaced holds its place. What runs already is never stopped because the limit
was lowered.

Source: users/wants.md 25.
"""

from __future__ import annotations

import msgspec

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, JobType
from daemon.model.job import Job, TaskGroup
from daemon.model.plan import EvalInput
from daemon.scheduler.reschedule import due_at_ns


def limited(item: EvalInput) -> EvalInput:
    """The input with the counts of limited groups cut to what may run now."""
    job = item.job
    if (
        job is None
        or job.stop
        or job.type != JobType.BATCH
        or not any(g.max_running for g in job.task_groups)
    ):
        return item
    groups = tuple(_limited(job, group, item.allocs) for group in job.task_groups)
    return msgspec.structs.replace(item, job=msgspec.structs.replace(job, task_groups=groups))


def _limited(job: Job, group: TaskGroup, allocs: tuple[Allocation, ...]) -> TaskGroup:
    if not group.max_running or group.max_running >= group.count:
        return group
    done, busy = standing(job, group, allocs)
    count = min(group.count, max(len(done) + group.max_running, len(done | busy)))
    return msgspec.structs.replace(group, count=count)


def standing(job: Job, group: TaskGroup, allocs: tuple[Allocation, ...]) -> tuple[set[str], set[str]]:
    """Names that are over for good, and names that hold a place: running, stopping, or to be replaced."""
    done: set[str] = set()
    busy: set[str] = set()
    for alloc in allocs:
        if alloc.task_group != group.name:
            continue
        if not alloc.client_terminal:
            busy.add(alloc.name)
        elif alloc.job_version == job.version and alloc.desired_transition.migrate_disable_placement:
            done.add(alloc.name)
        elif alloc.job_version == job.version and not alloc.server_terminal:
            (busy if _owed(group, alloc) else done).add(alloc.name)
    return done - busy, busy


def _owed(group: TaskGroup, alloc: Allocation) -> bool:
    """True when the scheduler will replace it."""
    policy = group.reschedule_policy
    if alloc.client_status != ClientStatus.FAILED or alloc.next_allocation or policy is None:
        return False
    return due_at_ns(alloc, policy) is not None
