"""The docker driver's settings on a real engine: network and ports, mounts, limits, commands, clean-up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

from plugins.docker_driver.driver import DockerDriver
from plugins.driver import DriverError, ExecIO, Limits, LogConfig, Mount, PortMapping
from tests.plugins.docker.dockerkit import Drivers, MakeTask, log_text

pytestmark = [pytest.mark.docker, pytest.mark.slow]
END_S = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def output(driver: DockerDriver, task: Any) -> str:
    """Run a task to its end; what it wrote."""
    await driver.start(task)
    result = await asyncio.wait_for(driver.wait(task.id), END_S)
    assert result.successful, (result, log_text(task, "stderr"))
    return log_text(task)


async def ping(port: int) -> bytes:
    """Ask redis on a port of this machine until it answers."""
    async with asyncio.timeout(END_S):
        while True:
            with contextlib.suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(b"PING\r\n")
                    return await reader.readuntil(b"\r\n")
                finally:
                    writer.close()
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("shape", ["port_map", "ports"])
async def test_redis_answers_on_its_published_port(
    driver: DockerDriver, make_task: MakeTask, shape: str
) -> None:
    number = free_port()
    port = PortMapping(label="db", value=number, to=0 if shape == "port_map" else 6379, host_ip="127.0.0.1")
    config = {"image": "redis:3.2", "network_mode": "bridge", "command": "", "args": []}
    config |= {"port_map": [{"db": 6379}]} if shape == "port_map" else {"ports": ["db"]}
    task = make_task(config=config, ports=(port,), limits=Limits(memory_mb=256))
    await driver.start(task)
    assert await ping(number) == b"+PONG\r\n"
    await driver.stop(task.id, "SIGTERM", 10)
    assert (await asyncio.wait_for(driver.wait(task.id), END_S)).exit_code == 0


async def test_a_taken_port_is_named_and_leaves_nothing(
    driver: DockerDriver, make_task: MakeTask, client: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        port = PortMapping(label="db", value=number, host_ip="127.0.0.1")
        task = make_task(config={"ports": ["db"], "network_mode": "bridge"}, ports=(port,))
        with pytest.raises(DriverError, match=f"127.0.0.1:{number} is taken") as caught:
            await driver.start(task)
    assert caught.value.recoverable
    assert client.containers(all=True, filters={"label": f"encamp.task_id={task.id}"}) == []


async def test_host_network_is_the_machines(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("hostname", config={"network_mode": "host"})
    assert (await output(driver, task)).strip() == socket.gethostname()


async def test_directories_environment_and_mounts(
    drivers: Drivers, make_task: MakeTask, tmp_path: Path
) -> None:
    driver = drivers.make(volumes=[{"enabled": True}])
    host, volume = tmp_path / "host", tmp_path / "volume"
    host.mkdir()
    volume.mkdir()
    (volume / "fact").write_text("from the volume")
    script = (
        "echo shared > $NOMAD_ALLOC_DIR/file; echo own > /local/file; echo hush > /secrets/file;"
        "echo bound > /bound/file; cat /data/fact; touch /data/x 2>/dev/null || echo ' read-only';"
        "df -k /scratch | tail -1 | awk '{print $2}'"
    )
    task = make_task(
        script,
        config={
            "volumes": [f"{host}:/bound"],
            "mount": [{"type": "tmpfs", "target": "/scratch", "tmpfs_options": {"size": 1048576}}],
        },
        mounts=(Mount(host_path=str(volume), task_path="/data", read_only=True),),
    )
    assert await output(driver, task) == "from the volume read-only\n1024\n"
    assert (host / "file").read_text() == "bound\n"
    assert Path(task.alloc_dir, "file").read_text() == "shared\n"
    assert Path(task.task_dir, "local/file").read_text() == "own\n"
    assert Path(task.task_dir, "secrets/file").read_text() == "hush\n"


async def test_relative_volumes_need_no_permission(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("echo x > /in/file", config={"volumes": ["local/sub:/in"]})
    await output(driver, task)
    assert Path(task.task_dir, "local/sub/file").read_text() == "x\n"


@pytest.mark.parametrize(
    ("config", "script", "expected"),
    [
        ({"hostname": "box"}, "hostname", "box\n"),
        ({"work_dir": "/tmp"}, "pwd", "/tmp\n"),
        ({"extra_hosts": ["there:10.1.2.3"]}, "grep there /etc/hosts | tr '\\t' ' '", "10.1.2.3 there\n"),
        (
            {"dns_servers": ["10.9.8.7"], "network_mode": "bridge"},
            "grep name /etc/resolv.conf",
            "nameserver 10.9.8.7\n",
        ),
        ({"ulimit": {"nofile": "123:456"}}, "ulimit -n; ulimit -Hn", "123\n456\n"),
        (
            {"sysctl": {"net.core.somaxconn": 1234}, "network_mode": "bridge"},
            "cat /proc/sys/net/core/somaxconn",
            "1234\n",
        ),
        ({"shm_size": 1048576}, "df -k /dev/shm | tail -1 | awk '{print $2}'", "1024\n"),
        ({"readonly_rootfs": True}, "touch /x 2>/dev/null || echo refused", "refused\n"),
        ({"cap_drop": ["chown"]}, "touch /tmp/x; chown 1 /tmp/x 2>/dev/null || echo refused", "refused\n"),
        ({"pids_limit": 77}, "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max", "77\n"),
        ({"entrypoint": ["echo", "hi"], "command": "", "args": ["there"]}, "", "hi there\n"),
        ({"group_add": ["4321"]}, "id -G | tr ' ' '\\n' | grep 4321", "4321\n"),
        ({"security_opt": ["no-new-privileges"]}, "grep NoNewPrivs /proc/self/status | cut -f2", "1\n"),
        ({"oom_score_adj": 321}, "cat /proc/self/oom_score_adj", "321\n"),
        ({"cpuset_cpus": "0"}, "grep Cpus_allowed_list /proc/self/status | cut -f2", "0\n"),
        ({"tty": True}, "test -t 1 && echo terminal", "terminal\r\n"),
        ({}, "grep -c . /proc/net/dev", "3\n"),
    ],
)  # fmt: skip
async def test_key_has_its_effect(
    driver: DockerDriver, make_task: MakeTask, config: dict[str, Any], script: str, expected: str
) -> None:
    assert await output(driver, make_task(script, config=config)) == expected


async def test_user_and_init(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("id -u; cat /proc/1/comm", user="nobody", config={"init": True})
    found = (await output(driver, task)).splitlines()
    assert found[0] == "65534"
    assert found[1] != "sh"


async def test_limits_reach_the_engine(driver: DockerDriver, make_task: MakeTask, client: Any) -> None:
    limits = Limits(cpu_mhz=200, cpu_total_mhz=4000, memory_mb=32, memory_max_mb=64)
    task = make_task(limits=limits, config={"cpu_hard_limit": True})
    handle = await driver.start(task)
    host = client.inspect_container(handle.state["container_id"])["HostConfig"]
    assert host["Memory"] == 64 * 2**20
    assert host["MemoryReservation"] == 32 * 2**20
    assert host["CpuShares"] == 200
    assert host["CpuQuota"] > 0


async def test_labels_and_logging(drivers: Drivers, make_task: MakeTask, client: Any) -> None:
    driver = drivers.make(extra_labels=["job_id"])
    task = make_task("echo kept; sleep 1000", config={"labels": {"team": "a"}, "logging": {"type": "local"}})
    handle = await driver.start(task)
    found = client.inspect_container(handle.state["container_id"])
    assert found["HostConfig"]["LogConfig"]["Type"] == "local"
    assert found["Config"]["Labels"]["team"] == "a"
    assert found["Config"]["Labels"]["encamp.job_id"] == "job"
    async with asyncio.timeout(END_S):
        while log_text(task) != "kept\n":
            await asyncio.sleep(0.05)


async def test_privileged_where_it_is_allowed(drivers: Drivers, make_task: MakeTask) -> None:
    driver = drivers.make(allow_privileged=True)
    task = make_task("ls /dev/kmsg", config={"privileged": True})
    try:
        assert await output(driver, task) == "/dev/kmsg\n"
    except DriverError as error:
        if "unable to apply caps: operation not permitted" not in error.message:
            raise
        pytest.skip("root on this machine has not all capabilities, so nothing privileged can start")


async def test_a_log_driver_that_cannot_be_read_is_told(drivers: Drivers, make_task: MakeTask) -> None:
    driver = drivers.make()
    task = make_task("echo x", config={"logging": {"type": "none"}})
    await driver.start(task)
    assert (await asyncio.wait_for(driver.wait(task.id), END_S)).successful
    assert "Logs cannot be collected" in drivers.events.text()


async def test_logs_rotate_and_can_be_off(drivers: Drivers, make_task: MakeTask, tmp_path: Path) -> None:
    driver = drivers.make()
    logs = tmp_path / "logs"
    logs.mkdir()
    task = make_task(
        "head -c 3000000 /dev/zero | tr '\\0' 'a'",
        logs=LogConfig(dir=str(logs), max_files=2, max_file_size_mb=1),
    )
    await driver.start(task)
    assert (await asyncio.wait_for(driver.wait(task.id), END_S)).successful
    # every byte counted, although the engine's own files rotated meanwhile
    sizes = {path.name: path.stat().st_size for path in logs.glob("web.stdout.*")}
    assert sizes == {"web.stdout.1": 2**20, "web.stdout.2": 3_000_000 - 2 * 2**20}
    silent = make_task("echo x", logs=LogConfig(dir=str(logs), disabled=True), task="silent")
    await driver.start(silent)
    await asyncio.wait_for(driver.wait(silent.id), END_S)
    assert not list(logs.glob("silent.*"))


@pytest.mark.parametrize("tty", [False, True])
async def test_a_break_in_the_log_stream_loses_and_doubles_nothing(
    drivers: Drivers, make_task: MakeTask, tty: bool
) -> None:
    count = 3000
    task = make_task(
        f"i=0; while [ $i -lt {count} ]; do echo $i; i=$((i+1)); [ $((i % 300)) = 0 ] && sleep 0.2; done",
        config={"tty": tty},
    )
    driver = drivers.make()
    handle = await driver.start(task)
    for number in range(4):
        async with asyncio.timeout(END_S):
            while len(log_text(task).split()) < (number + 1) * 500:
                await asyncio.sleep(0.02)
        await driver.close()
        driver = drivers.make()
        await driver.recover(handle)
    await asyncio.wait_for(driver.wait(task.id), END_S)
    assert log_text(task).split() == [str(number) for number in range(count)]


class Script(ExecIO):
    """A caller that types this and keeps what it reads."""

    def __init__(
        self, typed: list[bytes], sizes: list[tuple[int, int]] | None = None, hold: bool = False
    ) -> None:
        self.typed = typed
        self.sizes = sizes or []
        self.hold = hold
        self.out = b""
        self.err = b""

    async def stdin(self) -> AsyncIterator[bytes]:
        for chunk in self.typed:
            yield chunk
        if self.hold:
            await asyncio.Event().wait()

    async def output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        if stream == "stdout":
            self.out += data
        else:
            self.err += data

    async def resizes(self) -> AsyncIterator[tuple[int, int]]:
        for size in self.sizes:
            yield size
        await asyncio.Event().wait()


async def test_exec(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task()
    await driver.start(task)
    io = Script([b"to cat\n"])
    argv = ["sh", "-c", "cat; echo err >&2; echo $EXTRA; exit 9"]
    result = await asyncio.wait_for(driver.exec(task.id, argv, tty=False, io=io, env={"EXTRA": "e"}), END_S)
    assert (result.exit_code, io.out, io.err) == (9, b"to cat\ne\n", b"err\n")
    missing = await asyncio.wait_for(driver.exec(task.id, ["no-such"], tty=False, io=Script([])), END_S)
    assert missing.exit_code in (126, 127)


async def test_exec_with_a_terminal_of_the_callers_size(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task()
    await driver.start(task)
    io = Script([], sizes=[(33, 101)], hold=True)
    argv = ["sh", "-c", 'until [ "$(stty size 2>/dev/null)" = "33 101" ]; do sleep 0.05; done; stty size']
    result = await asyncio.wait_for(driver.exec(task.id, argv, tty=True, io=io), END_S)
    assert (result.exit_code, io.out) == (0, b"33 101\r\n")


async def test_exec_that_is_left_is_ended(driver: DockerDriver, make_task: MakeTask, client: Any) -> None:
    task = make_task()
    handle = await driver.start(task)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await driver.exec(task.id, ["sleep", "777"], tty=False, io=Script([], hold=True))
    async with asyncio.timeout(END_S):
        while any("777" in " ".join(row) for row in client.top(handle.state["container_id"])["Processes"]):
            await asyncio.sleep(0.05)


async def test_exec_in_what_does_not_run(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task("true")
    await driver.start(task)
    await asyncio.wait_for(driver.wait(task.id), END_S)
    with pytest.raises(DriverError, match="does not run"):
        await driver.exec(task.id, ["true"], tty=False, io=Script([]))


async def test_a_missing_command_is_named(driver: DockerDriver, make_task: MakeTask) -> None:
    task = make_task(config={"command": "no-such-program"})
    with pytest.raises(DriverError, match="not in image busybox:1") as caught:
        await driver.start(task)
    assert not caught.value.recoverable


async def test_wrong_config_is_an_error_with_its_path(driver: DockerDriver, make_task: MakeTask) -> None:
    with pytest.raises(DriverError, match="prots: unknown key; did you mean 'ports'"):
        await driver.start(make_task(config={"prots": ["x"]}))


async def test_containers_without_an_owner_are_removed(
    drivers: Drivers, make_task: MakeTask, client: Any
) -> None:
    grace = {"enabled": True, "period": "1h", "creation_grace": "0"}
    first = drivers.make()
    lost, kept = make_task(), make_task()
    await first.start(lost)
    handle = await first.start(kept)
    await first.close()
    second = drivers.make(gc={"dangling_containers": grace})
    await second.recover(handle)
    await asyncio.sleep(1.1)  # the engine tells ages in whole seconds
    dry = drivers.make(data="dry", gc={"dangling_containers": {**grace, "dry_run": True}})
    assert len(await dry._dangling.search()) == 2
    assert len(await second._dangling.search()) == 1
    left = client.containers(all=True, filters={"label": f"encamp.node_id={drivers.node_id}"})
    assert [entry["Id"] for entry in left] == [handle.state["container_id"]]


async def test_an_image_out_of_a_file(driver: DockerDriver, make_task: MakeTask, client: Any) -> None:
    task = make_task("echo loaded", config={"image": "encamp-loaded", "load": "image.tar"})
    client.tag("busybox:1", "encamp-loaded", "latest")
    archive = Path(task.task_dir, "local/image.tar")
    with archive.open("wb") as file:
        for chunk in client.get_image("encamp-loaded:latest"):
            file.write(chunk)
    assert tarfile.is_tarfile(archive)
    client.remove_image("encamp-loaded:latest")
    try:
        assert await output(driver, task) == "loaded\n"
    finally:
        with contextlib.suppress(Exception):
            client.remove_image("encamp-loaded:latest", force=True)
    outside = make_task(config={"load": "../../../etc/passwd"})
    with pytest.raises(DriverError, match="inside the task's local directory"):
        await driver.start(outside)
