"""How a job's allocations are restarted: in which batches, and when one counts as restarted. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, TaskStateName
from daemon.model.errors import InvalidInput


def batches(allocs: Sequence[Allocation], size: str) -> list[list[Allocation]]:
    """Cut into batches of `size` (a number, or a percentage of all), by name.

    Raises: InvalidInput.
    """
    number = size.removesuffix("%")
    if not number.isdigit() or int(number) < 1 or (size.endswith("%") and int(number) > 100):
        raise InvalidInput(f"-batch-size {size!r}: give a number from 1, or a percentage from 1% to 100%")
    each = math.ceil(len(allocs) * int(number) / 100) if size.endswith("%") else int(number)
    ordered = sorted(allocs, key=lambda alloc: (alloc.task_group, alloc.name, alloc.id))
    return [list(ordered[at : at + each]) for at in range(0, len(ordered), max(1, each))]


def replaced_by(before: Allocation, now: Mapping[str, Allocation]) -> Allocation | None:
    """The allocation that has taken its place."""
    return next((each for each in now.values() if each.previous_allocation == before.id), None)


def restarted(before: Allocation, after: Allocation, task: str, fresh: bool) -> bool:
    """Whether it runs again: every task that ran before has been started anew and runs."""
    if after.client_status != ClientStatus.RUNNING:
        return False
    if fresh:
        return True
    names = (
        [task]
        if task
        else [name for name, state in before.task_states.items() if state.state == TaskStateName.RUNNING]
    )
    for name in names:
        old, new = before.task_states.get(name), after.task_states.get(name)
        if new is None or new.state != TaskStateName.RUNNING:
            return False
        if old is not None and (new.restarts, new.started_at_ns) == (old.restarts, old.started_at_ns):
            return False
    return True
