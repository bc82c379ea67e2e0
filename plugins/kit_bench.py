"""What the driver conformance kit works with: a bench of directories, driver and supervisor, and a caller.

See `plugins.kit`, which is what driver authors import.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from plugins.driver import Driver, DriverContext, ExecIO, Limits, LogConfig, TaskConfig
from plugins.supervisor.client import SupervisorClient

Scenario = dict[str, Any]


class ScriptedIO(ExecIO):
    """A caller of `exec` with fixed input, who keeps all output."""

    def __init__(
        self, stdin: bytes = b"", *, sizes: tuple[tuple[int, int], ...] = (), hold: bool = False
    ) -> None:
        self._stdin = stdin
        self._sizes = sizes
        self._hold = hold
        self.stdout = b""
        self.stderr = b""

    async def stdin(self) -> AsyncIterator[bytes]:
        """Yield the input once; with `hold`, never end."""
        if self._stdin:
            yield self._stdin
        if self._hold:
            await asyncio.Event().wait()

    async def output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Keep the data."""
        if stream == "stdout":
            self.stdout += data
        else:
            self.stderr += data

    async def resizes(self) -> AsyncIterator[tuple[int, int]]:
        """Yield the sizes."""
        for size in self._sizes:
            yield size


async def eventually(check: Callable[[], Any], what: str, timeout_s: float = 10.0) -> Any:
    """Wait until `check` returns something true. Raises: AssertionError naming what did not happen."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        found = check()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(0.01)


class Contract(Protocol):
    """What the bench asks of a contract."""

    driver_class: ClassVar[type[Driver]]
    needs_supervisor: ClassVar[bool]

    def plugin_settings(self) -> dict[str, Any]:
        """Return the agent's plugin block."""
        ...


class Bench:
    """One test's directories, driver and supervisor."""

    def __init__(self, contract: Contract, root: Path) -> None:
        self.contract = contract
        self.root = root
        self.supervisor: SupervisorClient | None = None
        self.driver: Driver
        self._count = 0
        self._run = uuid.uuid4().hex[:8]

    async def open(self) -> None:
        """Make everything."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        (self.root / "data").mkdir(exist_ok=True)
        if self.contract.needs_supervisor:
            self.supervisor = await SupervisorClient.ensure(self.root / "supervisor")
        self.driver = self.new_driver()

    def new_driver(self) -> Driver:
        """Return a second driver object, as after a restart of the agent."""
        context = DriverContext(
            node_id="11111111-2222-3333-4444-555555555555",
            node_name="kit",
            data_dir=self.root / "data",
            config=self.contract.plugin_settings(),
            dev=True,
            supervisor=self.supervisor,
        )
        return self.contract.driver_class(context)

    def task(self, config: Scenario, **changes: Any) -> TaskConfig:
        """Return a task with fresh directories."""
        self._count += 1
        # unique over all benches: a container engine is shared by tests that run at the same time
        alloc_id = f"{self._run}-alloc{self._count}"
        base = self.root / "allocs" / alloc_id
        for name in ("alloc/logs", "alloc/data", "alloc/tmp", "web/local", "web/secrets", "web/tmp"):
            (base / name).mkdir(parents=True, exist_ok=True)
        for name in ("alloc/data", "alloc/tmp", "web/local", "web/secrets", "web/tmp"):
            (base / name).chmod(0o777)
        values: dict[str, Any] = {
            "id": f"{alloc_id}/web/0",
            "alloc_id": alloc_id,
            "alloc_name": "kit.group[0]",
            "job_id": "kit",
            "namespace": "default",
            "group": "group",
            "task": "web",
            "config": config,
            "env": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "KIT": "conformance"},
            "limits": Limits(cpu_mhz=100, cpu_total_mhz=1000, memory_mb=64),
            "alloc_dir": str(base / "alloc"),
            "task_dir": str(base / "web"),
            "logs": LogConfig(dir=str(base / "alloc/logs"), max_files=3, max_file_size_mb=1),
        }
        return TaskConfig(**{**values, **changes})

    def log(self, task: TaskConfig, stream: str) -> bytes:
        """Return everything that is in a task's logs."""
        names = sorted(os.listdir(task.logs.dir), key=lambda name: int(name.rpartition(".")[2]))
        prefix = f"{task.task}.{stream}."
        return b"".join(
            (Path(task.logs.dir) / name).read_bytes() for name in names if name.startswith(prefix)
        )

    async def close(self) -> None:
        """Take everything down, and fail when a test has left a task."""
        left: list[str] = []
        try:
            await self.driver.close()
        finally:
            if self.supervisor is not None:
                left = [info.id for info in await self.supervisor.list()]
                await self.supervisor.shutdown(force=True)
        assert not left, f"tasks are left: {left}"
