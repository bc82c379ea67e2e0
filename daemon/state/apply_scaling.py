"""Apply: `job scale`. Pure.

Theory: a count is a new version of the job, so that it can be reverted and rolls out like any other change; a call
without one is only noted. Nothing is scaled while a deployment is under way: it counts on its totals.

Source: spec/scheduler.md 11.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.enums import JobType
from daemon.model.errors import EncampError, InvalidInput, NotFound
from daemon.model.job import Job, TaskGroup
from daemon.model.scaling import EVENTS_KEPT, JobScaling, ScalingEvent
from daemon.state.apply_jobs import add_version
from daemon.state.changes import JobRegistered
from daemon.state.commands import JobScale
from daemon.state.draft import Draft


def apply_scale(draft: Draft, command: JobScale) -> None:
    """Change the count of a group, and note who asked."""
    job = draft.tables.jobs.get((command.namespace, command.job_id))
    group = job.group(command.group) if job is not None else None
    if job is None or group is None:
        what = f"job {command.job_id}" if job is None else f"group {command.group!r} in job {job.id}"
        draft.changes.result = NotFound(f"there is no {what}", job_id=command.job_id)
        return
    refused = _refusal(draft, job, group, command)
    if refused is not None:
        draft.changes.result = refused
        return
    evaluation = command.evaluation if command.count is not None else None
    changed = command.count is not None and command.count != group.count
    if changed:
        groups = tuple(
            replace(each, count=command.count) if each.name == group.name else each
            for each in job.task_groups
        )
        job = add_version(draft, job, replace(job, task_groups=groups), None, command.next_launch_ns)
    if evaluation is not None:
        draft.put_eval(replace(evaluation, job_modify_index=job.job_modify_index))
    _note(draft, job, group, command, evaluation.id if evaluation is not None else "")
    draft.changes.result = JobRegistered(
        job_modify_index=job.job_modify_index,
        version=job.version,
        changed=changed,
        eval_id=evaluation.id if evaluation is not None else "",
    )


def _refusal(draft: Draft, job: Job, group: TaskGroup, command: JobScale) -> EncampError | None:
    count = command.count
    if count is None:
        return None
    where = f"group {group.name!r} of job {job.id}"
    deployment = draft.tables.deployments.latest(job.key)
    limits = group.scaling
    why = ""
    if command.error:
        why = "an error is noted without a count"
    elif job.stop:
        why = "the job is stopped; run it again first"
    elif count < 0:
        why = f"a count of {count} is less than none"
    elif job.type in (JobType.SYSTEM, JobType.SYSBATCH) and count > 1:
        why = f"a {job.type} job runs once on every node: its count is 0 or 1"
    elif limits is not None and not limits.min <= count <= limits.max:
        why = f"{count} lies outside of its scaling block, {limits.min} to {limits.max}"
    elif deployment is not None and deployment.active:
        why = f"deployment {deployment.id} is under way; wait for its end, or fail it"
    return InvalidInput(f"{where} was not scaled: {why}", job_id=job.id, group=group.name) if why else None


def _note(draft: Draft, job: Job, group: TaskGroup, command: JobScale, eval_id: str) -> None:
    event = ScalingEvent(
        time_ns=draft.time_ns,
        count=command.count,
        previous_count=group.count,
        message=command.message,
        error=command.error,
        meta=command.meta,
        eval_id=eval_id,
        create_index=draft.index,
    )
    row = draft.tables.scaling.get(job.key) or JobScaling(namespace=job.namespace, job_id=job.id)
    events = (event, *row.groups.get(group.name, ()))[:EVENTS_KEPT]
    draft.put_scaling(replace(row, groups={**row.groups, group.name: events}, modify_index=draft.index))
