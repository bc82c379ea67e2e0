"""The engine goes away and comes back: nothing is given up, and the container's state decides."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from plugins.docker_driver.driver import DockerDriver
from plugins.driver import DriverError
from tests.engine import Dockerd, api, end_private
from tests.images import ensure_busybox
from tests.plugins.docker.dockerkit import Drivers, MakeTask, log_text

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.slow]
END_S = 60.0


@pytest_asyncio.fixture
async def away(private_engine: Dockerd, tmp_path: Path) -> AsyncIterator[Drivers]:
    """A maker of drivers on an engine that the test may kill."""
    maker = Drivers(private_engine.endpoint, tmp_path)
    try:
        yield maker
    finally:
        await maker.close()


async def in_thread(work: object) -> None:
    assert callable(work)
    await asyncio.get_running_loop().run_in_executor(None, work)


async def test_killed_engine_and_its_return(
    private_engine: Dockerd, away: Drivers, make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    driver = away.make()
    assert (await driver.fingerprint()).health == "healthy"
    task = make_task("trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done")
    handle = await driver.start(task)
    waiting = asyncio.ensure_future(driver.wait(task.id))
    await in_thread(private_engine.kill)

    found = await driver.fingerprint()
    assert found.health == "unhealthy"
    assert "cannot reach the Docker engine" in found.description
    with pytest.raises(DriverError, match="cannot reach the Docker engine") as caught:
        await driver.start(make_task())
    assert caught.value.recoverable
    with pytest.raises(DriverError, match="cannot reach"):
        await driver.stop(task.id, "SIGTERM", 0)
    other = away.make(data="other")
    await other.recover(handle)
    assert not waiting.done()

    await in_thread(private_engine.start)
    assert (await driver.fingerprint()).health == "healthy"
    # without live-restore a new engine ends what the killed one has left
    first = await asyncio.wait_for(waiting, END_S)
    second = await asyncio.wait_for(other.wait(task.id), END_S)
    assert first == second
    assert not first.successful
    assert "up\n" in log_text(task)
    assert "still being written" not in caplog.text
    await driver.destroy(task.id)


async def test_containers_that_outlive_the_engine(tmp_path: Path, make_task: MakeTask) -> None:
    root = Path("/tmp") / f"encamp-live-{uuid.uuid4().hex[:8]}"
    engine = Dockerd(root, own_network=True, options=("--live-restore",))
    maker = Drivers(engine.endpoint, tmp_path)
    try:
        await in_thread(engine.start)
        await in_thread(lambda: _with_busybox(engine))
        driver = maker.make()
        task = make_task("echo one; until [ -e /local/go ]; do sleep 0.1; done; echo two; exit 6")
        await driver.start(task)
        waiting = asyncio.ensure_future(driver.wait(task.id))
        await in_thread(engine.stop_engine)
        assert not waiting.done()
        await in_thread(engine.start)
        Path(task.task_dir, "local/go").touch()
        assert (await asyncio.wait_for(waiting, END_S)).exit_code == 6
        assert log_text(task) == "one\ntwo\n"
        await driver.destroy(task.id)
    finally:
        await maker.close()
        end_private(engine)


def _with_busybox(engine: Dockerd) -> None:
    client = api(engine.endpoint)
    try:
        ensure_busybox(client)
    finally:
        client.close()


async def test_a_frozen_engine_is_unhealthy_in_time(private_engine: Dockerd, away: Drivers) -> None:
    driver: DockerDriver = away.make()
    assert (await driver.fingerprint()).health == "healthy"
    private_engine.signal(signal.SIGSTOP)
    try:
        loop = asyncio.get_running_loop()
        began = loop.time()
        found = await driver.fingerprint()
        assert found.health == "unhealthy"
        assert loop.time() - began < 5.5
    finally:
        private_engine.signal(signal.SIGCONT)
