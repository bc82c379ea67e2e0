"""The docker driver against a real engine: start, end, stop, signals, take-over, what is left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plugins.docker_driver.create import container_name
from plugins.docker_driver.driver import DockerDriver
from plugins.driver import DriverError, Limits, TaskNotFound
from tests.plugins.docker.dockerkit import Drivers, MakeTask, log_text

pytestmark = [pytest.mark.docker, pytest.mark.slow]
END_S = 30.0


async def test_a_task_ends_with_its_exit_code_and_output(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("echo out; echo err >&2; exit 3")
    await driver.start(task)
    result = await asyncio.wait_for(driver.wait(task.id), END_S)
    assert (result.exit_code, result.successful, result.error) == (3, False, "")
    assert log_text(task) == "out\n"
    assert log_text(task, "stderr") == "err\n"
    again = await asyncio.wait_for(driver.wait(task.id), END_S)
    assert again == result


async def test_success_is_exit_code_zero(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("true")
    await driver.start(task)
    assert (await asyncio.wait_for(driver.wait(task.id), END_S)).successful


async def test_destroy_leaves_nothing(driver: DockerDriver, make_task: MakeTask, client: Any) -> None:
    task = make_task("echo x; sleep 1000")
    await driver.start(task)
    await _log_has(task, "x")
    assert client.inspect_container(container_name(task.id))["State"]["Running"]
    await driver.destroy(task.id)
    await driver.destroy(task.id)
    left = client.containers(all=True, filters={"label": f"encamp.task_id={task.id}"})
    assert left == []
    assert not list(driver.context.data_dir.rglob("*.json"))
    with pytest.raises(TaskNotFound):
        await driver.wait(task.id)


async def test_stop_sends_the_signal_first(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("trap 'echo bye; exit 7' USR1; echo ready; while :; do sleep 0.05; done")
    await driver.start(task)
    await _log_has(task, "ready")
    await driver.stop(task.id, "SIGUSR1", 20)
    result = await asyncio.wait_for(driver.wait(task.id), END_S)
    assert result.exit_code == 7
    assert log_text(task) == "ready\nbye\n"


async def test_stop_kills_what_ignores_the_signal(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("trap '' TERM; echo ready; while :; do sleep 0.05; done")
    await driver.start(task)
    await _log_has(task, "ready")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await driver.stop(task.id, "SIGTERM", 1)
    assert loop.time() - began >= 1
    result = await asyncio.wait_for(driver.wait(task.id), END_S)
    assert result.exit_code == 137
    await driver.stop(task.id, "SIGTERM", 1)


async def test_memory_over_the_limit_is_reported_as_such(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("head -c 200m /dev/zero | tail", limits=Limits(memory_mb=16))
    await driver.start(task)
    result = await asyncio.wait_for(driver.wait(task.id), END_S)
    assert result.oom_killed
    assert not result.successful


async def test_a_repeated_start_takes_over(drivers: Drivers, make_task: MakeTask, client: Any) -> None:
    task = make_task("echo once; sleep 1000")
    first = drivers.make()
    handle = await first.start(task)
    await first.close()
    second = drivers.make()
    again = await second.start(task)
    assert again.state["container_id"] == handle.state["container_id"]
    assert len(client.containers(filters={"label": f"encamp.alloc_id={task.alloc_id}"})) == 1


async def test_a_container_that_was_only_made_is_made_again(
    driver: DockerDriver, make_task: MakeTask, client: Any
) -> None:
    task = make_task()
    left = client.create_container_from_config(
        {"Image": "busybox:1", "Cmd": ["true"], "Labels": {"encamp.task_id": task.id}},
        container_name(task.id),
    )
    handle = await driver.start(task)
    assert handle.state["container_id"] != left["Id"]


async def test_a_foreign_container_with_the_name_is_an_error(
    driver: DockerDriver, make_task: MakeTask, client: Any
) -> None:
    task = make_task()
    name = container_name(task.id)
    left = client.create_container_from_config({"Image": "busybox:1", "Cmd": ["true"]}, name)
    try:
        with pytest.raises(DriverError, match="is taken by a container that is not this task's"):
            await driver.start(task)
        await driver.destroy(task.id)
        assert client.inspect_container(left["Id"])
    finally:
        client.remove_container(left["Id"])


async def test_recover_takes_the_task_back(drivers: Drivers, make_task: MakeTask) -> None:
    task = make_task("echo one; sleep 1; echo two; sleep 1; echo three; exit 4")
    first = drivers.make()
    handle = await first.start(task)
    await _log_has(task, "one")
    await first.close()
    second = drivers.make()
    await second.recover(handle)
    result = await asyncio.wait_for(second.wait(task.id), END_S)
    assert result.exit_code == 4
    assert log_text(task) == "one\ntwo\nthree\n"


async def test_recover_of_what_ended_meanwhile_gives_its_exit_code(
    drivers: Drivers, make_task: MakeTask
) -> None:
    task = make_task("echo last; exit 5")
    first = drivers.make()
    handle = await first.start(task)
    await asyncio.wait_for(first.wait(task.id), END_S)
    await first.close()
    second = drivers.make()
    await second.recover(handle)
    assert (await asyncio.wait_for(second.wait(task.id), END_S)).exit_code == 5
    assert log_text(task) == "last\n"


async def test_recover_of_what_is_gone(drivers: Drivers, make_task: MakeTask, client: Any) -> None:
    task = make_task()
    driver = drivers.make()
    handle = await driver.start(task)
    client.remove_container(handle.state["container_id"], force=True)
    result = await asyncio.wait_for(driver.wait(task.id), END_S)
    assert "removed by somebody else" in result.error or result.exit_code == 137
    await driver.close()
    with pytest.raises(TaskNotFound):
        await drivers.make().recover(handle)


async def test_signal_reaches_the_main_process(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done")
    await driver.start(task)
    await _log_has(task, "ready")
    await driver.signal(task.id, "SIGHUP")
    await _log_has(task, "hup")
    with pytest.raises(DriverError, match="SIGNONSENSE"):
        await driver.signal(task.id, "SIGNONSENSE")


async def test_stats_are_the_containers(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("while :; do :; done")
    await driver.start(task)
    await driver.stats(task.id)
    async with asyncio.timeout(END_S):
        while (found := await driver.stats(task.id)).cpu_percent < 1:
            await asyncio.sleep(0.1)
    assert found.memory_rss_bytes > 0
    assert found.cpu_total_ns > 0
    assert found.pids >= 1
    with pytest.raises(TaskNotFound):
        await driver.stats("no/such/1")


async def test_a_cancelled_start_can_be_repeated(
    driver: DockerDriver, make_task: MakeTask, client: Any
) -> None:
    task = make_task()
    for delay_s in (0, 0.01, 0.05, 0.1, 0.2):
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            async with asyncio.timeout(delay_s):
                await driver.start(task)
                await asyncio.Event().wait()
    await driver.start(task)
    assert len(client.containers(all=True, filters={"label": f"encamp.task_id={task.id}"})) == 1


async def test_fingerprint(driver: DockerDriver, drivers: Drivers) -> None:
    found = await driver.fingerprint()
    assert found.health == "healthy"
    assert found.attributes["driver.docker"] == "1"
    assert found.attributes["driver.docker.version"][0].isdigit()
    assert found.attributes["driver.docker.bridge_ip"].count(".") == 3
    assert "runc" in found.attributes["driver.docker.runtimes"]
    missing = drivers.make(data="other", endpoint="unix:///nonexistent/docker.sock")
    away = await missing.fingerprint()
    assert away.health == "undetected"
    assert "/nonexistent/docker.sock" in away.description


async def _log_has(task: Any, text: str) -> None:
    async with asyncio.timeout(END_S):
        while text not in log_text(task):
            await asyncio.sleep(0.02)
