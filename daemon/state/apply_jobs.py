"""Apply: register, stop and purge jobs. Pure.

Source: spec/scheduler.md 11; 1.1 (type never changes).
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.alloc import Allocation
from daemon.model.enums import EvalStatus, JobStatus
from daemon.model.errors import Conflict, EncampError, InvalidInput, NotFound
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, JobSource
from daemon.state.alloc_table import JobKey
from daemon.state.apply_launches import plan_launches
from daemon.state.changes import JobRegistered
from daemon.state.commands import JobDeregister, JobRegister
from daemon.state.draft import Draft
from daemon.state.job_versions import same_spec


def apply_register(draft: Draft, command: JobRegister) -> None:
    """Create a job or a new version; an equal spec makes none. The evaluation is stored in any case."""
    stored = draft.tables.jobs.get(command.job.key)
    refused = _refusal(stored, command)
    if refused is not None:
        draft.changes.result = refused
        return
    changed = stored is None or not same_spec(stored, command.job)
    if stored is not None and not changed:
        job = stored
    else:
        job = add_version(draft, stored, command.job, command.source, command.next_launch_ns)
    _finish(draft, job, changed, command.evaluation)


def add_version(
    draft: Draft, stored: Job | None, spec: Job, source: JobSource | None, next_launch_ns: int = 0
) -> Job:
    """Make `spec` the latest version of its job."""
    job = replace(
        spec,
        version=stored.version + 1 if stored else 0,
        version_tag=None,
        status=JobStatus.PENDING,
        stable=False,
        create_index=stored.create_index if stored else draft.index,
        modify_index=draft.index,
        job_modify_index=draft.index,
    )
    _new_version(draft, stored, job)
    plan_launches(draft, stored, job, next_launch_ns)
    draft.summary_groups(job.key, [group.name for group in job.task_groups])
    if source is not None:
        sources = draft.tables.sources.get(job.key) or {}
        draft.tables.sources.put(job.key, {**sources, job.version: source})
    return job


def apply_deregister(draft: Draft, command: JobDeregister) -> None:
    """Stop a job, or purge it with all that belongs to it."""
    key = (command.namespace, command.job_id)
    stored = draft.tables.jobs.get(key)
    if stored is None:
        draft.changes.result = NotFound(
            f"there is no job {command.job_id} in namespace {command.namespace}", job_id=command.job_id
        )
        return
    if command.no_shutdown_delay and not command.purge:
        _hurry(draft, key)
    if command.purge:
        purge_job(draft, stored)
        _finish(draft, stored, True, command.evaluation)
        return
    job = stored
    if not stored.stop:
        job = replace(
            stored,
            stop=True,
            stable=False,
            version=stored.version + 1,
            version_tag=None,
            reverts_to=-1,
            modify_index=draft.index,
            job_modify_index=draft.index,
        )
        _new_version(draft, stored, job)
        plan_launches(draft, stored, job, 0)
    _finish(draft, job, not stored.stop, command.evaluation)


def purge_job(draft: Draft, job: Job) -> None:
    """Remove a job, its versions and allocations; its open evaluations end."""
    allocs = list(draft.tables.allocs.by_job(job.key))
    draft.tables.allocs.expect([alloc.id for alloc in allocs])
    for alloc in allocs:
        draft.remove_alloc(alloc)
    for evaluation in draft.tables.evals_of_job(job.key):
        if not evaluation.terminal:
            draft.end_eval(evaluation, EvalStatus.COMPLETE, "the job was purged")
    for deployment in draft.tables.deployments.of_job(job.key):
        draft.remove_deployment(deployment)
    draft.remove_job(job)


def _refusal(stored: Job | None, command: JobRegister) -> EncampError | None:
    job = command.job
    expected = command.enforce_index
    current = stored.job_modify_index if stored else 0
    if expected is not None and expected != current:
        # programs match on these words (spec/nomad-surface.md B1)
        what = "job does not exist"
        if stored:
            what = (
                f"job exists with conflicting job modify index: {current}"
                if expected
                else "job already exists"
            )
        return Conflict(
            f"Enforcing job modify index {expected}: {what} (job {job.id}); read it again and decide anew",
            job_id=job.id,
            job_modify_index=current,
        )
    if stored is None:
        return None
    for what, had, has in (
        ("type", stored.type.value, job.type.value),
        ("periodic", stored.periodic is not None, job.periodic is not None),
        ("parameterized", stored.parameterized_job is not None, job.parameterized_job is not None),
    ):
        if had != has:
            return InvalidInput(
                f"job {job.id}: {what} cannot change from {had} to {has}; "
                "purge the job first or choose another id",
                job_id=job.id,
            )
    return None


def _new_version(draft: Draft, stored: Job | None, job: Job) -> None:
    if stored is not None:
        old = draft.tables.old_versions.get(job.key) or ()
        draft.tables.old_versions.put(job.key, (stored, *old))
    draft.put_job(job)


def _finish(draft: Draft, job: Job, changed: bool, evaluation: Evaluation | None) -> None:
    if evaluation is not None:
        draft.put_eval(replace(evaluation, job_modify_index=job.job_modify_index))
    draft.changes.result = JobRegistered(
        job_modify_index=job.job_modify_index,
        version=job.version,
        changed=changed,
        eval_id=evaluation.id if evaluation else "",
    )


def _hurry(draft: Draft, key: JobKey) -> None:
    waiting: list[Allocation] = [a for a in draft.tables.allocs.by_job(key) if not a.terminal]
    for alloc in waiting:
        transition = replace(alloc.desired_transition, no_shutdown_delay=True)
        draft.put_alloc(
            alloc,
            replace(
                alloc,
                desired_transition=transition,
                modify_index=draft.index,
                modify_time_ns=draft.time_ns,
                alloc_modify_index=draft.index,
            ),
        )
