"""Fixtures of the docker driver's tests: a driver on a real engine, and tasks to start."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from plugins.docker_driver.driver import DockerDriver
from plugins.driver import TaskConfig
from tests.engine import api, docker_engine, private_engine
from tests.plugins.docker.dockerkit import Drivers, MakeTask, build_task

__all__ = ["docker_engine", "private_engine"]


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """Makes tasks; keyword arguments replace fields, `sh` is a script for busybox's shell."""
    numbers = itertools.count(1)

    def make(sh: str = "", **changes: Any) -> TaskConfig:
        config = changes.pop("config", {})
        base: dict[str, Any] = {"image": "busybox:1", "network_mode": "none"}
        base |= {"command": "sh", "args": ["-c", sh or "sleep 1000"]}
        return build_task(tmp_path, next(numbers), config=base | config, **changes)

    return make


@pytest_asyncio.fixture
async def drivers(docker_engine: str, tmp_path: Path) -> AsyncIterator[Drivers]:
    """A maker of drivers on the shared engine."""
    maker = Drivers(docker_engine, tmp_path)
    try:
        yield maker
    finally:
        await maker.close()
        maker.sweep()


@pytest_asyncio.fixture
async def driver(drivers: Drivers) -> DockerDriver:
    """A driver with ordinary settings."""
    return drivers.make()


@pytest.fixture
def client(docker_engine: str) -> Iterator[Any]:
    """The SDK's own client, to look at what the driver did."""
    made = api(docker_engine)
    yield made
    made.close()
