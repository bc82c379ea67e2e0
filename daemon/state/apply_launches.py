"""Apply: launches of periodic jobs, dispatches of parameterized ones, and the history of both. Pure.

Theory: the leader decides when, and computes the moments, for only it has a clock and a time zone database. Whether a
launch may be made is decided here, against the stored state: the parent is there and wants it, this moment was not
launched before, no child is alive when overlap is prohibited. So two leaders that follow each other launch once.

Source: spec/scheduler.md 8; users/wants.md 17.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.enums import JobStatus
from daemon.model.errors import Conflict, InvalidInput, NotFound
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.launch import RUNS_KEPT, Launches, Run
from daemon.state.changes import Launched
from daemon.state.commands import JobDispatch, PeriodicLaunch
from daemon.state.draft import Draft


def plan_launches(draft: Draft, before: Job | None, job: Job, next_ns: int) -> None:
    """A job was registered or stopped: note when it is due. An unchanged schedule keeps its times."""
    if job.periodic is None or job.parameterized_job is not None:
        return
    row = draft.tables.launches.get(job.key)
    resumed = before is None or before.stop
    if row is not None and not resumed and before is not None and before.periodic == job.periodic:
        draft.put_launches(replace(row, next_ns=0 if job.stop else row.next_ns, modify_index=draft.index))
        return
    runs = row.runs if row is not None else ()
    planned = next_ns if job.periodic.enabled and not job.stop else 0
    draft.put_launches(
        Launches(
            namespace=job.namespace,
            job_id=job.id,
            last_ns=draft.time_ns,
            next_ns=planned,
            runs=runs,
            modify_index=draft.index,
        )
    )


def apply_launch(draft: Draft, command: PeriodicLaunch) -> None:
    """Launch a periodic job once, or note that this launch is skipped."""
    key = (command.namespace, command.job_id)
    parent = draft.tables.jobs.get(key)
    if parent is None or parent.periodic is None or parent.stop:
        draft.changes.result = NotFound(
            f"there is no periodic job {command.job_id} in namespace {command.namespace} that takes launches",
            job_id=command.job_id,
        )
        return
    row = draft.tables.launches.get(key) or Launches(namespace=parent.namespace, job_id=parent.id)
    if not command.forced and command.launch_ns <= row.last_ns:
        draft.changes.result = Conflict(
            f"job {parent.id} was launched for this moment or a later one already", job_id=parent.id
        )
        return
    row = row if command.forced else replace(row, last_ns=command.launch_ns, next_ns=command.next_ns)
    children = draft.tables.job_index.children(key)
    reason = command.skip
    if (
        not reason
        and parent.periodic.prohibit_overlap
        and not command.forced
        and children
        and children.active
    ):
        reason = "the launch before it is not over, and prohibit_overlap is set"
    child = None if reason else command.child
    run = Run(
        job_id=child.id if child is not None else "",
        launch_ns=command.launch_ns,
        forced=command.forced,
        outcome="skipped" if child is None else "",
        reason=reason,
    )
    if child is None:
        draft.put_launches(_with_run(row, run, draft.index))
        draft.changes.result = Launched(skipped=reason)
        return
    existing = draft.tables.jobs.get(child.key)
    if existing is not None:
        draft.put_launches(replace(row, modify_index=draft.index))
        draft.changes.result = Launched(job_id=existing.id, existing=True, create_index=existing.create_index)
        return
    draft.put_launches(_with_run(row, run, draft.index))
    _add_child(draft, child, command.evaluation)


def apply_dispatch(draft: Draft, command: JobDispatch) -> None:
    """Register a dispatched child, unless its idempotency token names one that is there."""
    child = command.child
    key = (child.namespace, child.parent_id)
    parent = draft.tables.jobs.get(key)
    if parent is None:
        draft.changes.result = NotFound(f"there is no job {key[1]} in namespace {key[0]}", job_id=key[1])
        return
    if parent.parameterized_job is None or parent.stop:
        what = "stopped" if parent.stop else "not parameterized"
        draft.changes.result = InvalidInput(
            f"job {parent.id} is {what}: it takes no dispatch", job_id=parent.id
        )
        return
    children = draft.tables.job_index.children(key)
    token = child.dispatch_idempotency_token
    known = children.tokens.get(token) if children is not None and token else None
    existing = draft.tables.jobs.get((child.namespace, known or child.id))
    if existing is not None:
        evals = draft.tables.evals_of_job(existing.key)
        draft.changes.result = Launched(
            job_id=existing.id,
            existing=True,
            create_index=existing.create_index,
            eval_id=evals[0].id if evals else "",
        )
        return
    row = draft.tables.launches.get(key) or Launches(namespace=parent.namespace, job_id=parent.id)
    run = Run(job_id=child.id, launch_ns=draft.time_ns)
    draft.put_launches(replace(_with_run(row, run, draft.index), last_ns=draft.time_ns))
    _add_child(draft, child, command.evaluation)


def _with_run(row: Launches, run: Run, index: int) -> Launches:
    return replace(row, runs=(run, *row.runs[: RUNS_KEPT - 1]), modify_index=index)


def _add_child(draft: Draft, child: Job, evaluation: Evaluation | None) -> None:
    job = replace(
        child,
        version=0,
        status=JobStatus.RUNNING if child.periodic is not None else JobStatus.PENDING,
        create_index=draft.index,
        modify_index=draft.index,
        job_modify_index=draft.index,
    )
    draft.put_job(job)
    plan_launches(draft, None, job, 0)
    draft.summary_groups(job.key, [group.name for group in job.task_groups])
    if evaluation is not None:
        draft.put_eval(replace(evaluation, job_modify_index=draft.index))
    draft.changes.result = Launched(
        job_id=job.id,
        eval_id=evaluation.id if evaluation is not None else "",
        create_index=draft.index,
    )
