"""A driver as the runners use it: every method goes over to the drivers' thread."""

from __future__ import annotations

import asyncio

from daemon.node.drivers.host import DriverHost
from plugins.driver import Capabilities, Driver, ExecIO, ExitResult, TaskConfig, TaskHandle, TaskStats

#: bounds of calls that should be short; a driver may itself wait for an engine that is away.
_SHORT_S = 60.0
#: a start may pull an image; the driver has its own, smaller limits.
START_S = 3600.0


class RemoteDriver:
    """One driver behind its host. Methods are those of plugins.driver.Driver and raise what they raise."""

    def __init__(self, host: DriverHost, driver: Driver) -> None:
        self._host = host
        self._driver = driver

    @property
    def name(self) -> str:
        """The name in job files."""
        return self._driver.name

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._driver.capabilities

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it lives on."""
        return self._host.loop

    async def start(self, task: TaskConfig) -> TaskHandle:
        """Start a task."""
        return await self._host.call(self._driver.start(task), timeout_s=START_S)

    async def recover(self, handle: TaskHandle) -> None:
        """Take a task back."""
        await self._host.call(self._driver.recover(handle), timeout_s=_SHORT_S)

    async def wait(self, task_id: str) -> ExitResult:
        """Wait for the end of a task; as long as it lasts."""
        return await self._host.call(self._driver.wait(task_id))

    async def stop(self, task_id: str, signal: str, timeout_s: float) -> None:
        """Stop a task."""
        if not signal and self.capabilities.fs_isolation != "image":
            signal = "SIGINT"  # an image names its own; for commands this is what Nomad's users expect
        await self._host.call(self._driver.stop(task_id, signal, timeout_s), timeout_s=timeout_s + _SHORT_S)

    async def destroy(self, task_id: str) -> None:
        """Remove a task's traces."""
        await self._host.call(self._driver.destroy(task_id), timeout_s=_SHORT_S)

    async def signal(self, task_id: str, signal: str) -> None:
        """Send a signal."""
        await self._host.call(self._driver.signal(task_id, signal), timeout_s=_SHORT_S)

    async def stats(self, task_id: str) -> TaskStats:
        """Use of resources."""
        return await self._host.call(self._driver.stats(task_id), timeout_s=10.0)

    async def exec(
        self, task_id: str, argv: list[str], *, tty: bool, io: ExecIO, env: dict[str, str] | None = None
    ) -> ExitResult:
        """Run a command; as long as its caller stays. `io` is called on the drivers' loop."""
        return await self._host.call(self._driver.exec(task_id, argv, tty=tty, io=io, env=env))
