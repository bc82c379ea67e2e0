"""Images from a real registry with a password: pull, local tags, credentials, coalescing, clean-up."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.docker_driver.driver import DockerDriver
from plugins.driver import DriverError
from tests.plugins.docker.dockerkit import Drivers, MakeTask

pytestmark = [pytest.mark.docker, pytest.mark.slow]
END_S = 30.0
USER, PASSWORD = "ada", "s3cret:with colon"
AUTH = {"username": USER, "password": PASSWORD}


class Registry:
    """A registry of the test's own and what is in it."""

    def __init__(self, client: Any, address: str) -> None:
        self.client = client
        self.address = address

    def push(self, tag: str = "1") -> str:
        """A new image in the registry that is not on the engine; its name."""
        unique = uuid.uuid4().hex[:8]
        name = f"{self.address}/app-{unique}"
        made = self.client.create_container_from_config({"Image": "busybox:1", "Cmd": ["true"]})["Id"]
        self.client.commit(made, name, tag, changes=[f"LABEL unique={unique}"])
        self.client.remove_container(made)
        for line in self.client.push(name, tag, stream=True, decode=True, auth_config=AUTH):
            assert "error" not in line, line
        self.client.remove_image(f"{name}:{tag}")
        return f"{name}:{tag}"

    def has_locally(self, name: str) -> bool:
        return bool(self.client.images(name))


def _config(root: Path, port: int) -> str:
    return json.dumps(
        {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(root / "data")}},
            "http": {"addr": f"127.0.0.1:{port}", "secret": "x"},
            "auth": {"htpasswd": {"realm": "test", "path": str(root / "htpasswd")}},
        }
    )


@pytest.fixture
def registry(client: Any, tmp_path: Path) -> Iterator[Registry]:
    """Debian's docker-registry on loopback, which wants a password."""
    for program in ("docker-registry", "htpasswd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: docker-registry, apache2-utils)")
    root = tmp_path / "registry"
    root.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    entry = subprocess.check_output(["htpasswd", "-nbB", USER, PASSWORD])
    (root / "htpasswd").write_bytes(entry)
    (root / "config.yml").write_text(_config(root, port))
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(root / "config.yml")], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + END_S
        while not _answers(port):
            assert process.poll() is None and time.monotonic() < deadline, (root / "log").read_text()
            time.sleep(0.05)
        address = f"127.0.0.1:{port}"
        yield Registry(client, address)
        for image in client.images():
            for name in image["RepoTags"] or []:
                if name.startswith(address):
                    with contextlib.suppress(Exception):
                        client.remove_image(name, force=True)
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code == 401
    except OSError:
        return False
    return True


async def test_pull_with_the_blocks_password(
    drivers: Drivers, make_task: MakeTask, registry: Registry, client: Any
) -> None:
    driver = drivers.make()
    name = registry.push()
    task = make_task(
        "echo pulled", config={"image": name, "auth": [{**AUTH, "server_address": registry.address}]}
    )
    await driver.start(task)
    assert (await asyncio.wait_for(driver.wait(task.id), END_S)).successful
    said = drivers.events.text()
    assert f"Downloading image {name}" in said
    assert f"Pulled image {name}" in said
    assert PASSWORD not in said


@pytest.mark.parametrize("config", [{}, {"auth": {"username": USER, "password": "wrong"}}])
async def test_pull_without_the_right_password(
    driver: DockerDriver, make_task: MakeTask, registry: Registry, config: dict[str, Any], client: Any
) -> None:
    task = make_task(config={"image": registry.push(), **config})
    with pytest.raises(DriverError, match="was refused.*auth block") as caught:
        await driver.start(task)
    assert not caught.value.recoverable
    assert client.containers(all=True, filters={"label": f"encamp.task_id={task.id}"}) == []


async def test_pull_with_the_password_of_a_file(
    drivers: Drivers, make_task: MakeTask, registry: Registry, tmp_path: Path
) -> None:
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"auths": {registry.address: {"auth": secret}}}))
    driver = drivers.make(auth={"config": str(file)})
    task = make_task("true", config={"image": registry.push()})
    await driver.start(task)
    assert (await asyncio.wait_for(driver.wait(task.id), END_S)).successful


async def test_unreadable_credentials_fail_softly_if_asked(drivers: Drivers, make_task: MakeTask) -> None:
    driver = drivers.make(auth={"config": "/nonexistent/auth.json"})
    task = make_task("true")
    with pytest.raises(DriverError, match="/nonexistent/auth.json"):
        await driver.start(task)
    task = make_task("true", config={"auth_soft_fail": True})
    await driver.start(task)
    assert (await asyncio.wait_for(driver.wait(task.id), END_S)).successful
    assert "auth_soft_fail" in drivers.events.text()


async def test_a_missing_image_is_not_tried_again(
    driver: DockerDriver, make_task: MakeTask, registry: Registry
) -> None:
    task = make_task(config={"image": f"{registry.address}/no-such:1", "auth": AUTH})
    with pytest.raises(DriverError, match="is not in its registry") as caught:
        await driver.start(task)
    assert not caught.value.recoverable


async def test_a_registry_that_is_away_may_come_back(driver: DockerDriver, make_task: MakeTask) -> None:
    with pytest.raises(DriverError, match="pull of image 127.0.0.1:9/x:1 failed") as caught:
        await driver.start(make_task(config={"image": "127.0.0.1:9/x:1"}))
    assert caught.value.recoverable


@pytest.mark.parametrize(
    ("tag", "config", "pulls"),
    [("1", {}, False), ("1", {"force_pull": True}, True), ("latest", {}, True)],
)
async def test_when_a_local_image_is_pulled(
    drivers: Drivers, make_task: MakeTask, registry: Registry, tag: str, config: dict[str, Any], pulls: bool
) -> None:
    driver = drivers.make()
    name = registry.push(tag)
    registry.client.tag("busybox:1", name.rpartition(":")[0], tag)
    await driver.start(make_task("true", config={"image": name, "auth": AUTH, **config}))
    assert ("Downloading image" in drivers.events.text()) is pulls


async def test_pulls_of_one_image_are_one(drivers: Drivers, make_task: MakeTask, registry: Registry) -> None:
    driver = drivers.make()
    name = registry.push()
    tasks = [make_task("true", config={"image": name, "auth": AUTH}) for _ in range(4)]
    starts = [asyncio.ensure_future(driver.start(task)) for task in tasks]
    async with asyncio.timeout(END_S):
        while not driver.images._pulls:
            await asyncio.sleep(0)
        starts[0].cancel()
        await asyncio.wait(starts)
    assert starts[0].cancelled()
    assert all(start.exception() is None for start in starts[1:])
    pulled = [event for event in drivers.events.all if event.message.startswith("Pulled image")]
    assert {event.task_id for event in pulled} == {task.id for task in tasks[1:]}
    assert not driver.images._pulls


async def test_unused_images_go_after_the_delay_and_others_stay(
    drivers: Drivers, make_task: MakeTask, registry: Registry
) -> None:
    driver = drivers.make(gc={"image_delay": "1s"})
    name = registry.push()
    first, second = (make_task("true", config={"image": name, "auth": AUTH}) for _ in range(2))
    for task in (first, second):
        await driver.start(task)
    await driver.destroy(first.id)
    await asyncio.sleep(1.5)
    assert registry.has_locally(name), "somebody still uses it"
    await driver.destroy(second.id)
    await _gone(registry, name)
    local = make_task("true")
    await driver.start(local)
    await driver.destroy(local.id)
    await asyncio.sleep(1.5)
    assert registry.has_locally("busybox:1"), "not pulled by this driver, so not ours to remove"


async def test_images_pulled_before_a_restart_go_too(
    drivers: Drivers, make_task: MakeTask, registry: Registry
) -> None:
    first = drivers.make()
    name = registry.push()
    task = make_task("true", config={"image": name, "auth": AUTH})
    await first.start(task)
    await first.destroy(task.id)
    await first.close()
    second = drivers.make(gc={"image_delay": "1s"})
    await second.fingerprint()
    await _gone(registry, name)


async def test_images_stay_when_clean_up_is_off(
    drivers: Drivers, make_task: MakeTask, registry: Registry
) -> None:
    driver = drivers.make(gc={"image": False, "image_delay": "0"})
    name = registry.push()
    task = make_task("true", config={"image": name, "auth": AUTH})
    await driver.start(task)
    await driver.destroy(task.id)
    await asyncio.sleep(0.5)
    assert registry.has_locally(name)


async def _gone(registry: Registry, name: str) -> None:
    async with asyncio.timeout(END_S):
        while registry.has_locally(name):
            await asyncio.sleep(0.1)


class Stalled:
    """A registry that takes a request and never says anything more."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.open = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.open += 1
        with contextlib.suppress(OSError):
            while await reader.read(1000):
                pass
        writer.close()
        self.open -= 1

    async def hang_up(self) -> None:
        async with asyncio.timeout(END_S):
            while self.open:
                for writer in self.writers:
                    writer.close()
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("config", "settings", "why"),
    [
        ({}, {"pull_activity_timeout": "1s"}, "made no progress for 1 s"),
        ({"image_pull_timeout": "1s"}, {}, "took longer than 1 s"),
        ({}, {"image_pull_timeout": "1s"}, "took longer than 1 s"),
    ],
)
async def test_a_pull_that_stalls_is_given_up(
    drivers: Drivers, make_task: MakeTask, config: dict[str, Any], settings: dict[str, Any], why: str
) -> None:
    stalled = Stalled()
    server = await asyncio.start_server(stalled.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    driver = drivers.make(**settings)
    try:
        with pytest.raises(DriverError, match=why) as caught:
            await driver.start(make_task(config={"image": f"127.0.0.1:{port}/x:1", **config}))
        assert caught.value.recoverable
    finally:
        server.close()
        await driver.close()
        await stalled.hang_up()
