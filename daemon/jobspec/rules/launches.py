"""Rules of jobs that are launched: by cron, by dispatch, and how many at once. Pure.

Source: spec/scheduler.md 8; spec/nomad-surface.md C5.
"""

from __future__ import annotations

from daemon.jobspec.cron import spec_problem, zone_problem
from daemon.jobspec.rules.problem import Report, step
from daemon.model.enums import JobType
from daemon.model.job import Job
from daemon.model.policies import ParameterizedConfig, PeriodicConfig

_BATCH = (JobType.BATCH, JobType.SYSBATCH)
PAYLOADS = ("optional", "required", "forbidden")
MISSED = ("skip", "once", "all")


def check_launches(job: Job, report: Report) -> None:
    """The periodic and parameterized blocks, and max_running of the job and its groups."""
    batch = job.type in _BATCH
    if job.periodic is not None:
        inner = report.below("periodic")
        inner.need(batch, "", "only batch jobs are periodic", 'type = "batch"')
        _check_periodic(job.periodic, inner)
    if job.parameterized_job is not None:
        inner = report.below("parameterized")
        inner.need(batch, "", "only batch jobs are parameterized", 'type = "batch"')
        _check_parameterized(job.parameterized_job, inner)
    _check_payload_file(job, report)
    if job.max_running:
        launched = job.periodic is not None or job.parameterized_job is not None or bool(job.parent_id)
        report.need(job.max_running > 0, "max_running", "max_running cannot be negative")
        message = "max_running of a job counts its launches: only periodic and parameterized jobs have it"
        report.need(launched, "max_running", message, "a batch group has its own max_running")
    for group in job.task_groups:
        if group.max_running:
            inner = report.below(step("group", group.name))
            inner.need(group.max_running > 0, "max_running", "max_running cannot be negative")
            message = "only groups of batch jobs have a max_running"
            inner.need(job.type is JobType.BATCH, "max_running", message)


def _check_periodic(periodic: PeriodicConfig, report: Report) -> None:
    report.need(
        bool(periodic.specs), "crons", "a periodic job needs at least one cron spec", 'crons = ["@daily"]'
    )
    for spec in periodic.specs:
        problem = spec_problem(spec)
        report.need(not problem, "crons", problem, 'e.g. "*/15 8-18 * * MON-FRI"')
    zone = zone_problem(periodic.time_zone)
    report.need(not zone, "time_zone", zone)
    known = f"missed is one of {', '.join(MISSED)}, not {periodic.missed!r}"
    report.need(periodic.missed in MISSED, "missed", known)


def _check_parameterized(config: ParameterizedConfig, report: Report) -> None:
    known = f"payload is one of {', '.join(PAYLOADS)}, not {config.payload!r}"
    report.need(config.payload in PAYLOADS, "payload", known)
    both = sorted({*config.meta_required} & {*config.meta_optional})
    message = f"required and optional at once: {', '.join(both)}"
    report.need(not both, "meta_optional", message, "keep each key in one of the two lists")
    for key, names in (("meta_required", config.meta_required), ("meta_optional", config.meta_optional)):
        report.need(all(names), key, "a meta key cannot be empty")


def _check_payload_file(job: Job, report: Report) -> None:
    """A task that wants a payload in a job that can get none."""
    config = job.parameterized_job
    forbidden = config is not None and config.payload == "forbidden"
    for group in job.task_groups:
        for task in group.tasks:
            if task.dispatch_payload is not None and forbidden:
                inner = report.below(step("group", group.name), step("task", task.name))
                inner.error("dispatch_payload", "the job forbids payloads, so this file stays empty")
