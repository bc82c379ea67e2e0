"""Rules of affinities and spread blocks. Pure.

Source: spec/nomad-surface.md C4, C5; spec/scheduler.md 4.3, 5.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from daemon.jobspec.rules.constraints import OPERATORS, check_comparison
from daemon.jobspec.rules.problem import Report
from daemon.model.enums import JobType
from daemon.model.job import Job
from daemon.model.policies import Affinity, Spread

_OPERATORS = tuple(
    name for name in OPERATORS if not name.startswith("distinct_") and name not in ("is_set", "is_not_set")
)


def check_wishes(job: Job, report: Report) -> None:
    """What the whole job prefers, and whether its type has preferences at all."""
    check_affinities(job.affinities, report)
    check_spreads(job.spreads, report)
    groups = job.task_groups
    of_tasks = any(task.affinities for group in groups for task in group.tasks)
    asked = {
        "affinity": bool(job.affinities) or any(group.affinities for group in groups) or of_tasks,
        "spread": bool(job.spreads) or any(group.spreads for group in groups),
    }
    for name in (name for name, there in asked.items() if there):
        if job.type is JobType.SYSTEM:
            report.error("", f"a system job has no {name}: it runs on every node that can hold it")
        elif job.type is JobType.SYSBATCH:
            report.warn("", f"{name} has no effect: a sysbatch job runs on every node that can hold it")


def check_affinities(affinities: Sequence[Affinity], report: Report) -> None:
    """Every affinity of a job, group or task."""
    for at, each in enumerate(affinities):
        inner = report.below(f"affinity[{at}]")
        check_comparison("affinity", each.l_target, each.operand, each.r_target, _OPERATORS, inner)
        fits = -100 <= each.weight <= 100 and each.weight != 0
        inner.need(fits, "weight", f"weight is from -100 to 100 and not 0, not {each.weight}")


def check_spreads(spreads: Sequence[Spread], report: Report) -> None:
    """Every spread block of a job or group."""
    for at, each in enumerate(spreads):
        inner = report.below(f"spread[{at}]")
        target = each.attribute.startswith("${") and each.attribute.endswith("}")
        advice = 'e.g. attribute = "${node.datacenter}"'
        inner.need(target, "attribute", "a spread needs an attribute that nodes differ in", advice)
        inner.need(1 <= each.weight <= 100, "weight", f"weight is from 1 to 100, not {each.weight}")
        percents = [target.percent for target in each.spread_target]
        inner.need(all(0 <= percent <= 100 for percent in percents), "", "percent is from 0 to 100")
        whole = sum(percents)
        inner.need(whole <= 100, "", f"the percents of a spread add up to {whole}, more than 100")
        for value, times in Counter(target.value for target in each.spread_target).items():
            inner.need(times == 1, "", f'target "{value}" is given {times} times')
            inner.need(bool(value), "", "a target needs a value")
