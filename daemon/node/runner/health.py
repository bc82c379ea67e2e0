"""When an allocation is healthy, judged by its tasks' states. Pure.

Healthy: every main task and sidecar runs, and every other task has ended well (poststart ones may still run), all for
min_healthy_time without a break. Health is judged once; after that it stays.

Source: spec/scheduler.md 1.2 (update); spec/nomad-surface.md A4.
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.node.runner.records import Phase
from daemon.node.runner.specs import SIDECARS, Role
from daemon.node.runner.task_core import TaskCore


def well_since_ns(tasks: Iterable[TaskCore]) -> int | None:
    """Since when all tasks are as they should be; None: they are not."""
    since_ns = 0
    for task in tasks:
        role, record = task.spec.role, task.record
        if role == Role.POSTSTOP:
            continue
        if record.phase == Phase.RUNNING:
            if role == Role.PRESTART:
                return None
            since_ns = max(since_ns, record.state.started_at_ns)
            continue
        lasting = role == Role.MAIN or role in SIDECARS
        if lasting or not record.state.successful:
            return None
        since_ns = max(since_ns, record.state.finished_at_ns)
    return since_ns


def why_not(tasks: Iterable[TaskCore]) -> str:
    """The tasks that are not as they should be, in words."""
    bad = [
        f"{task.spec.name!r} is {task.record.phase}"
        for task in tasks
        if task.spec.role != Role.POSTSTOP and task.record.phase not in (Phase.RUNNING, Phase.DEAD)
    ]
    return ", ".join(bad) or "its tasks have not been running long enough without a break"
