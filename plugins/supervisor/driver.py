"""What all drivers have in common whose tasks are processes beneath the supervisor.

Theory: the supervisor is the truth; a driver keeps per task only what its handle also says, so `recover` is a
question to the supervisor and nothing more. Subclasses decide what is started.
"""

from __future__ import annotations

import asyncio
from typing import Any

from plugins.driver import Driver, DriverContext, DriverError, ExitResult, TaskHandle, TaskNotFound, TaskStats
from plugins.supervisor.client import SupervisorClient
from plugins.supervisor.commands import signal_number
from plugins.supervisor.statistics import Meter
from plugins.supervisor.types import TaskInfo


class Known:
    """A task that this driver object has started or taken back."""

    __slots__ = ("info", "meter", "state")

    def __init__(self, info: TaskInfo, state: dict[str, Any]) -> None:
        self.info = info
        self.state = state
        self.meter = Meter()


class SupervisedDriver(Driver):
    """Base of raw_exec and exec."""

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.tasks: dict[str, Known] = {}

    @property
    def supervisor(self) -> SupervisorClient:
        """The node's supervisor. Raises: DriverError where there is none."""
        if self.context.supervisor is None:
            raise DriverError(f"driver {self.name!r} needs the supervisor, and this agent runs none")
        return self.context.supervisor

    def known(self, task_id: str) -> Known:
        """Return a task. Raises: TaskNotFound."""
        try:
            return self.tasks[task_id]
        except KeyError:
            raise TaskNotFound(f"driver {self.name!r} knows no task {task_id!r}") from None

    def remember(self, info: TaskInfo, state: dict[str, Any]) -> TaskHandle:
        """Keep a started task and return its handle."""
        self.tasks[info.id] = Known(info, state)
        return TaskHandle(driver=self.name, task_id=info.id, state=state)

    async def recover(self, handle: TaskHandle) -> None:
        """Ask the supervisor whether it has the task."""
        info = await self.supervisor.recover(handle.task_id)
        self.tasks[handle.task_id] = Known(info, handle.state)

    async def wait(self, task_id: str) -> ExitResult:
        """Wait for the end of the task."""
        self.known(task_id)
        return await self.supervisor.wait(task_id)

    async def stop(self, task_id: str, signal: str, timeout_s: float) -> None:
        """Signal, wait, kill all."""
        number = signal_number(signal or "SIGTERM")
        await self.supervisor.stop(task_id, number, timeout_s)

    async def destroy(self, task_id: str) -> None:
        """Kill and forget the task."""
        await self.supervisor.destroy(task_id)
        self.tasks.pop(task_id, None)

    async def signal(self, task_id: str, signal: str) -> None:
        """Signal the main process."""
        number = signal_number(signal)
        self.known(task_id)
        await self.supervisor.signal(task_id, number)

    async def stats(self, task_id: str) -> TaskStats:
        """Use of resources now."""
        known = self.known(task_id)
        info = known.info
        found = await asyncio.to_thread(
            known.meter.look,
            known.state.get("cgroup"),
            info.pid,
            self.supervisor.marker_of(task_id),
            info.start,
        )
        if found is None:
            raise TaskNotFound(f"task {task_id!r} does not run any more")
        return found

    async def close(self) -> None:
        """Forget everything here; the supervisor and the tasks go on."""
        self.tasks.clear()
