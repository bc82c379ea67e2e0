"""What the server is told of an allocation: its client status, task states and health, derived from the core. Pure.

Source: spec/scheduler.md 1.5 (legal changes by the node).
"""

from __future__ import annotations

import msgspec

from daemon.model.alloc import Allocation, AllocHealth
from daemon.model.enums import ClientStatus
from daemon.model.resources import AllocatedResources
from daemon.node.runner.alloc_core import AllocCore
from daemon.node.runner.records import AllocPhase


def client_status(core: AllocCore) -> ClientStatus:
    """pending until a task has started, running until nothing is left, then complete or failed."""
    if core.record.phase == AllocPhase.DONE:
        return ClientStatus.FAILED if core.failed else ClientStatus.COMPLETE
    if any(task.record.state.started_at_ns for task in core.tasks.values()):
        return ClientStatus.RUNNING
    return ClientStatus.PENDING


_WORDS = {
    ClientStatus.PENDING: "No tasks have started",
    ClientStatus.RUNNING: "Tasks are running",
    ClientStatus.COMPLETE: "All tasks have completed",
    ClientStatus.FAILED: "Failed tasks",
}


def description(core: AllocCore, status: ClientStatus) -> str:
    """The status in words; failed tasks are named."""
    if status != ClientStatus.FAILED:
        return _WORDS[status]
    failed = [name for name, task in core.tasks.items() if task.record.state.failed]
    if core.record.description:
        return core.record.description
    return f"Failed tasks: {', '.join(failed)}" if failed else _WORDS[status]


def client_update(core: AllocCore, alloc: Allocation) -> Allocation:
    """The allocation as its node sees it, without what only servers need."""
    status = client_status(core)
    record = core.record
    health = None
    if record.healthy is not None:
        canary = alloc.deployment_status is not None and alloc.deployment_status.canary
        health = AllocHealth(healthy=record.healthy, timestamp_ns=record.healthy_at_ns, canary=canary)
    return msgspec.structs.replace(
        alloc,
        client_status=status,
        client_description=description(core, status),
        task_states={name: task.record.state for name, task in core.tasks.items()},
        deployment_status=health,
        metrics=None,
        reschedule_tracker=None,
        allocated_resources=AllocatedResources(),
    )
