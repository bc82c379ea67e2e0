"""Whether a job makes sense: every rule, all problems at once.

Theory: rules look at the finished struct, so that the command line and the server judge alike, wherever a
job comes from. A problem bears a path; `parse.parse_job` finds the place in the text that belongs to it.

Source: spec/nomad-surface.md C5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from daemon.jobspec.driverconfig import check_task_config
from daemon.jobspec.rules.constraints import check_constraints
from daemon.jobspec.rules.group import check_group
from daemon.jobspec.rules.launches import check_launches
from daemon.jobspec.rules.problem import Problem, Report, step
from daemon.jobspec.rules.unsupported import check_unsupported
from daemon.jobspec.rules.wishes import check_wishes
from daemon.model.job import Job, Task

#: problems of a driver's config as (path inside, message); None when the driver is not known here.
ConfigCheck = Callable[[str, dict[str, Any]], "list[tuple[str, str]] | None"]

PRIORITY_MAX = 100
#: sanity: no cluster holds more. A lower limit is the servers' to set.
COUNT_MAX = 10_000_000


def validate_job(job: Job, *, check_config: ConfigCheck | None = check_task_config) -> list[Problem]:
    """Everything that is wrong with a job, and what may not be meant; empty for a good one.

    `check_config` None skips the drivers' own checks of their config blocks.
    """
    report = Report()
    _check_job(job, report)
    check_constraints(job.constraints, report, in_task=False)
    check_wishes(job, report)
    check_launches(job, report)
    seen: Counter[str] = Counter()
    for group in job.task_groups:
        seen[group.name] += 1
        inner = report.below(step("group", group.name, seen[group.name]))
        inner.need(bool(group.name), "", "a group needs a name")
        if seen[group.name] > 1:
            inner.error("", f'the job has two groups "{group.name}"', "every group has its own name")
        check_group(job, group, inner)
        if check_config is not None:
            tasks: Counter[str] = Counter()
            for task in group.tasks:
                tasks[task.name] += 1
                place = inner.below(step("task", task.name, tasks[task.name]))
                _check_config(task, place, check_config)
    check_unsupported(job, report)
    return _unique(report.problems)


def errors(problems: list[Problem]) -> list[Problem]:
    """Those that refuse the job."""
    return [each for each in problems if not each.is_warning]


def _check_job(job: Job, report: Report) -> None:
    for key in ("region", "namespace", "name"):
        report.need(bool(getattr(job, key)), key, f"{key} cannot be empty")
    report.need(bool(job.id), "id", "a job needs an id", 'job "id" { ... }')
    blank = any(char.isspace() or not char.isprintable() for char in job.id)
    message = f"the job id {job.id!r} holds white space or control characters"
    report.need(not blank, "id", message, "use - or _ instead")
    report.need("\0" not in job.name, "name", "a job's name cannot hold a NUL")
    most = f"priority lies from 1 to {PRIORITY_MAX}, not {job.priority}"
    report.need(1 <= job.priority <= PRIORITY_MAX, "priority", most)
    report.need(bool(job.datacenters), "datacenters", "a job needs at least one datacenter", 'e.g. ["*"]')
    report.need(all(job.datacenters), "datacenters", "a datacenter's name cannot be empty")
    report.need(bool(job.task_groups), "group", "a job needs at least one group", 'group "name" { task ... }')
    total = sum(max(0, group.count) for group in job.task_groups)
    report.need(total <= COUNT_MAX, "", f"the job asks for {total} allocations, more than {COUNT_MAX}")


def _check_config(task: Task, report: Report, check: ConfigCheck) -> None:
    if not task.driver or "${" in task.driver:
        return
    problems = check(task.driver, task.config)
    if problems is None:
        message = f'the driver "{task.driver}" is not known here: its config is checked on the node only'
        report.warn("driver", message)
        return
    for path, message in problems:
        said = f'"{path}": {message}' if path else message
        report.error(f"config.{path}" if path else "config", said)


def _unique(problems: list[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))
