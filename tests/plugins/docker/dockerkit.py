"""What the docker driver's tests share: tasks to start, and drivers that clean up behind them."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plugins.docker_driver.driver import DockerDriver
from plugins.driver import DriverContext, DriverError, DriverEvent, Limits, LogConfig, TaskConfig
from tests.engine import api

MakeTask = Callable[..., TaskConfig]


def build_task(root: Path, number: int = 1, task: str = "web", **changes: Any) -> TaskConfig:
    """A task with its directories under `root`."""
    alloc_id = str(uuid.uuid4())
    base = root / alloc_id
    for directory in ("alloc/logs", f"{task}/local", f"{task}/secrets", f"{task}/tmp"):
        (base / directory).mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "id": f"{alloc_id}/{task}/{number}",
        "alloc_id": alloc_id,
        "alloc_name": "job.group[0]",
        "job_id": "job",
        "namespace": "default",
        "group": "group",
        "task": task,
        "config": {"image": "busybox:1", "command": "sleep", "args": ["1000"], "network_mode": "none"},
        "env": {"NOMAD_ALLOC_DIR": str(base / "alloc")},
        "limits": Limits(cpu_mhz=100, cpu_total_mhz=4000, memory_mb=64),
        "alloc_dir": str(base / "alloc"),
        "task_dir": str(base / task),
        "logs": LogConfig(dir=str(base / "alloc/logs")),
    }
    return TaskConfig(**(values | changes))


class Events:
    """Collects a driver's events."""

    def __init__(self) -> None:
        self.all: list[DriverEvent] = []

    def __call__(self, event: DriverEvent) -> None:
        self.all.append(event)

    def text(self) -> str:
        return "\n".join(event.message for event in self.all)


class Drivers:
    """Makes drivers on one engine; removes their containers at the end, also after a failure."""

    def __init__(self, endpoint: str, root: Path) -> None:
        self.endpoint = endpoint
        self.root = root
        self.node_id = f"node-{uuid.uuid4()}"
        self.made: list[DockerDriver] = []
        self.events = Events()

    def make(self, data: str = "driver", **settings: Any) -> DockerDriver:
        data_dir = self.root / data
        data_dir.mkdir(mode=0o700, exist_ok=True)
        driver = DockerDriver(
            DriverContext(
                node_id=self.node_id,
                node_name="n1",
                data_dir=data_dir,
                config={"endpoint": self.endpoint, **settings},
                emit=self.events,
            )
        )
        self.made.append(driver)
        return driver

    async def close(self) -> None:
        for driver in self.made:
            with contextlib.suppress(DriverError):
                await driver.close()

    def sweep(self) -> None:
        client = api(self.endpoint)
        try:
            label = f"encamp.node_id={self.node_id}"
            for container in client.containers(all=True, filters={"label": label}):
                client.remove_container(container["Id"], force=True, v=True)
        finally:
            client.close()


def log_text(task: TaskConfig, stream: str = "stdout") -> str:
    """What the task's log files hold, oldest first."""
    files = sorted(Path(task.logs.dir).glob(f"{task.task}.{stream}.*"), key=lambda path: int(path.suffix[1:]))
    return b"".join(path.read_bytes() for path in files).decode()
