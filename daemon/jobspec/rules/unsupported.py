"""What a job struct may hold and this version does not act on. Pure.

Theory: job files are stopped by the schema; this guards the servers against jobs that come as structs. Both
say the same words.
"""

from __future__ import annotations

from daemon.jobspec.rules.problem import Report, step
from daemon.jobspec.support import JOB, MESSAGE
from daemon.model.job import Job, Task, TaskGroup


def check_unsupported(job: Job, report: Report) -> None:
    """Everything that is known and not acted on."""
    if job.payload or job.dispatched:
        report.error("", "a submitted job cannot carry a payload; only dispatch makes such jobs")
    for group in job.task_groups:
        inner = report.below(step("group", group.name))
        _group(group, inner)
        for task in group.tasks:
            _task(task, inner.below(step("task", task.name)))


def _say(report: Report, key: str, what: str) -> None:
    report.error(key, MESSAGE.format(what=what))


def _block(report: Report, key: str, held: object) -> None:
    if held:
        _say(report, key, f'the block "{key}"')


def _group(group: TaskGroup, report: Report) -> None:
    if group.ephemeral_disk.migrate:
        _say(report.below("ephemeral_disk"), "migrate", '"migrate"')
    if group.restart_policy.render_templates:
        _say(report.below("restart"), "render_templates", '"render_templates"')
    for at, network in enumerate(group.networks):
        inner = report.below(f"network[{at}]")
        if JOB.is_unsupported_value("network", "mode", network.mode):
            _say(inner, "mode", f'mode = "{network.mode}"')
        _block(inner, "dns", network.dns)
        if network.hostname:
            _say(inner, "hostname", '"hostname"')
    for name, volume in group.volumes.items():
        inner = report.below(step("volume", name))
        if JOB.is_unsupported_value("volume", "type", volume.type):
            _say(inner, "type", f'type = "{volume.type}"')


def _task(task: Task, report: Report) -> None:
    inner = report.below("resources")
    if task.resources.secrets_mb:
        _say(inner, "secrets", '"secrets"')
    if task.restart_policy is not None and task.restart_policy.render_templates:
        _say(report.below("restart"), "render_templates", '"render_templates"')
