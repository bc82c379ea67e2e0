"""What one allocation counts for. Pure.

Source: spec/scheduler.md 4.6.
"""

from __future__ import annotations

from daemon.model.alloc import Allocation
from daemon.model.resources import AllocatedResources, Usage

_NOTHING = Usage()


def usage_of(resources: AllocatedResources) -> Usage:
    """Usage as the scheduler computed it; without that, the sum of the tasks (never less than the truth)."""
    if resources.usage != _NOTHING:
        return resources.usage
    tasks = resources.tasks.values()
    return Usage(
        cpu=sum(task.cpu_shares for task in tasks),
        memory_mb=sum(task.memory_mb for task in tasks),
        disk_mb=resources.shared.disk_mb,
        cores=sum(len(task.reserved_cores) for task in tasks),
    )


def ports_of(alloc: Allocation) -> tuple[int, ...]:
    """Host ports that the allocation holds."""
    return tuple(port.value for port in alloc.allocated_resources.shared.ports if port.value)
