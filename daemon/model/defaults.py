"""Defaults that depend on a job's type, and the filling in of what a job leaves out. Pure.

Theory: a struct cannot know what its job's type is, so blocks that depend on it are filled here. The reader
of job files starts a partly written block from the defaults of its type, and `canonicalize` gives every
group the blocks it lacks. It may be run again at any time: a canonical job stays as it is.

Source: spec/scheduler.md 1.1, 1.2.
"""

from __future__ import annotations

import msgspec

from daemon.model.enums import JobType
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.policies import HOUR, SECOND, ReschedulePolicy, RestartPolicy, UpdateStrategy

_BATCH = (JobType.BATCH, JobType.SYSBATCH)


def default_restart(job_type: JobType) -> RestartPolicy:
    """Restarts in place: 2 in 30 minutes, for batch work 3 in a day."""
    if job_type in _BATCH:
        return RestartPolicy(attempts=3, interval_ns=24 * HOUR, delay_ns=15 * SECOND, mode="fail")
    return RestartPolicy()


def default_reschedule(job_type: JobType) -> ReschedulePolicy | None:
    """Replacement after failure: service for ever, batch once a day, system never (it is on its node)."""
    if job_type is JobType.SERVICE:
        return ReschedulePolicy()
    if job_type is JobType.BATCH:
        return ReschedulePolicy(
            attempts=1,
            interval_ns=24 * HOUR,
            delay_ns=5 * SECOND,
            delay_function="constant",
            max_delay_ns=0,
            unlimited=False,
        )
    return None


def default_update(job_type: JobType) -> UpdateStrategy | None:
    """Rollout of changes, for types that have one."""
    return None if job_type in _BATCH else UpdateStrategy()


def canonicalize(job: Job) -> Job:
    """The job with every default filled in: name, pool, update and reschedule of each group.

    A group's restart policy is left alone: the type's default was put there by whoever made the group.
    """
    groups = tuple(_group(job, group) for group in job.task_groups)
    return msgspec.structs.replace(
        job,
        name=job.name or job.id,
        namespace=job.namespace or "default",
        region=job.region or "global",
        node_pool=job.node_pool or "default",
        datacenters=job.datacenters or ("*",),
        task_groups=groups,
    )


def _group(job: Job, group: TaskGroup) -> TaskGroup:
    update = group.update
    if update is None and job.type not in _BATCH:
        update = job.update or UpdateStrategy()
    return msgspec.structs.replace(
        group,
        update=update,
        reschedule_policy=group.reschedule_policy or default_reschedule(job.type),
        tasks=tuple(_task(task) for task in group.tasks),
    )


def _task(task: Task) -> Task:
    signal = task.kill_signal.upper()
    return msgspec.structs.replace(task, kill_signal=signal) if signal != task.kill_signal else task
