"""SIGKILL of the process that runs the driver: one container, taken over, and no output lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plugins.driver import TaskConfig, TaskHandle
from tests.plugins.docker.dockerkit import Drivers, MakeTask, log_text

pytestmark = [pytest.mark.docker, pytest.mark.slow]
END_S = 60.0
ROOT = Path(__file__).parents[3]


@contextmanager
def agentlet(drivers: Drivers, task: TaskConfig) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a driver that starts the task."""
    data = drivers.root / "driver"
    data.mkdir(mode=0o700, exist_ok=True)
    text = msgspec.json.encode(task).decode()
    command = [sys.executable, "-m", "tests.plugins.docker.agentlet"]
    process = subprocess.Popen(
        [*command, drivers.endpoint, str(data), drivers.node_id, text], stdout=subprocess.PIPE, cwd=ROOT
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


async def line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    found = await asyncio.wait_for(
        asyncio.get_running_loop().run_in_executor(None, process.stdout.readline), END_S
    )
    assert found, "the process ended by itself"
    return found


@pytest.mark.parametrize("delay_s", [0.0, 0.15, 0.2, 0.25, 0.3, 0.4])
async def test_killed_during_the_start(
    drivers: Drivers, make_task: MakeTask, client: Any, delay_s: float
) -> None:
    task = make_task("echo begun; sleep 1000")
    with agentlet(drivers, task) as process:
        await line(process)
        await asyncio.sleep(delay_s)
    driver = drivers.make()
    await driver.start(task)
    found = client.containers(all=True, filters={"label": f"encamp.alloc_id={task.alloc_id}"})
    assert [entry["State"] for entry in found] == ["running"]
    await driver.destroy(task.id)
    assert client.containers(all=True, filters={"label": f"encamp.alloc_id={task.alloc_id}"}) == []


async def test_killed_while_the_task_writes(drivers: Drivers, make_task: MakeTask) -> None:
    count = 4000
    task = make_task(
        f"i=0; while [ $i -lt {count} ]; do echo $i; i=$((i+1)); [ $((i % 100)) = 0 ] && sleep 0.05; done"
    )
    with agentlet(drivers, task) as process:
        await line(process)
        handle = msgspec.json.decode(await line(process), type=TaskHandle)
        async with asyncio.timeout(END_S):
            while len(log_text(task).split()) < count // 4:
                await asyncio.sleep(0.02)
    driver = drivers.make()
    await driver.recover(handle)
    result = await asyncio.wait_for(driver.wait(task.id), END_S)
    assert result.successful
    found = [int(number) for number in log_text(task).split()]
    assert sorted(set(found)) == list(range(count)), "lost"
    # a kill between the bytes and their position repeats at most that batch
    assert len(found) - count <= 64 * 1024 // len("1000\n")
    assert sum(after < before for before, after in zip(found, found[1:], strict=False)) <= 1
