"""Invariant 6: whoever of agent and supervisor is killed, no task is lost or doubled and no byte falls."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from plugins.kit import eventually
from plugins.supervisor.adopt import settle_lost
from plugins.supervisor.client import SupervisorClient
from plugins.supervisor.kernel import all_stats, read_stat
from plugins.supervisor.protocol import PIPE_BYTES
from plugins.supervisor.types import SupervisorUnavailable, key_of
from tests.plugins.supervisorkit import (
    assert_nothing_left,
    cgroups_of,
    is_dead,
    log_of,
    processes_of,
    reconnected,
    spec_of,
    supervised,
)

pytestmark = pytest.mark.slow

ROOT_DIR = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: writes numbered lines as fast as it can, in big and small writes.
WRITER = """
import sys
for number in range({count}):
    sys.stdout.write(f"line {{number}}\\n")
    if number % 7 == 0:
        sys.stdout.flush()
"""


def writer(count: int) -> list[str]:
    return [sys.executable, "-S", "-c", WRITER.format(count=count)]


async def test_killed_supervisor_loses_no_byte(tmp_path):
    async with supervised(tmp_path) as client:
        count = 3_000_000
        await client.start(spec_of(tmp_path, "w", "", argv=writer(count)))
        kills = 0
        waiting = asyncio.ensure_future(client.wait("w"))
        while not waiting.done() and kills < 12:
            pid = client.pid
            os.kill(pid, signal.SIGKILL)
            kills += 1
            await reconnected(client, pid)
            await asyncio.wait([waiting], timeout=0.05)
        result = await waiting
        assert (result.exit_code, result.signal, result.error) == (0, 0, "")
        expected = b"".join(b"line %d\n" % number for number in range(count))
        await eventually(lambda: len(log_of(tmp_path, "w")) >= len(expected), "all is logged")
        assert log_of(tmp_path, "w") == expected
        assert kills >= 3


@pytest.mark.parametrize("attached", ["at start", "later"])
async def test_last_output_of_a_task_that_ends_without_supervisor(tmp_path, attached):
    """It ends while no supervisor is there: its output waits in the spare pipe ends, its status in the agent."""
    gate = tmp_path / "gate"
    spec = spec_of(tmp_path, "w", f"while [ ! -e {gate} ]; do sleep 0.01; done; echo farewell; exit 5")
    if attached == "later":
        first = await SupervisorClient.ensure(tmp_path / "sup")
        await first.start(spec)
        await first.close()
    async with supervised(tmp_path) as client:
        info = await client.recover("w") if attached == "later" else await client.start(spec)
        pid = client.pid
        client._keeper._main.cancel()  # the agent is slow: it does not notice for a while
        os.kill(pid, signal.SIGKILL)
        await is_dead(pid)
        gate.touch()
        await is_dead(info.pid)
        client._keeper._main = asyncio.create_task(client._keeper._keep())
        result = await asyncio.wait_for(client.wait("w"), 20)
        assert (result.exit_code, result.error) == (5, "")
        await eventually(lambda: log_of(tmp_path, "w") == b"farewell\n", "the farewell is logged")


@pytest.mark.parametrize("cgroup", [True, False])
async def test_adopted_task_is_stopped_wholly(tmp_path, cgroup):
    async with supervised(tmp_path) as client:
        script = "(setsid sh -c 'sleep 3000 & sleep 3000' &) ; sleep 3000 & sleep 3000"
        info = await client.start(spec_of(tmp_path, "w", script, cgroup=cgroup))
        await eventually(lambda: len(processes_of(tmp_path)) >= 6, "all are there")
        pid = client.pid
        os.kill(pid, signal.SIGKILL)
        await reconnected(client, pid)
        assert read_stat(info.pid).ppid == os.getpid()
        await client.stop("w", signal.SIGTERM, 5)
        assert (await client.wait("w")).signal == signal.SIGTERM
        await eventually(lambda: processes_of(tmp_path) == [client.pid], "only the supervisor is left")
        # the agent has reaped everything that became its child
        await eventually(lambda: not zombies(), "no zombies")


class LostTask:
    """What `settle_lost` asks of a task whose main process is gone."""

    state = "lost"
    report_timer: object = None

    def __init__(self, parent: int, gone: int) -> None:
        self.main = (gone, 1)
        self.record = {"parent": parent}
        self.loop = self
        self.ended: list[object] = []

    def later(self, delay_s: float, callback: Callable[[], None]) -> object:
        return (delay_s, callback)

    def finish(self, result: object) -> None:
        self.ended.append(result)


@pytest.mark.parametrize(
    ("parent", "clients", "waits"),
    [
        ("client", {"client"}, True),
        # the old supervisor, which was still dying when its task was adopted: a client may have inherited it
        ("dead", {"client"}, True),
        ("dead", set(), False),
        # somebody else's child, or one that was gone already when it was adopted
        ("alive", {"client"}, False),
        ("nobody", {"client"}, False),
    ],
)
def test_a_task_that_was_reaped_before_we_looked(parent: str, clients: set[str], waits: bool) -> None:
    done = subprocess.Popen(["/bin/true"])
    done.wait()
    pids = {"client": os.getpid(), "dead": done.pid, "alive": 1, "nobody": 0}
    task: Any = LostTask(pids[parent], done.pid)
    reaper = settle_lost(task, {pids[client] for client in clients})
    assert (task.report_timer is not None) == waits and bool(task.ended) == (not waits)
    assert reaper == (os.getpid() if parent == "client" else 0)


AGENT = """
import asyncio, sys
from pathlib import Path
from plugins.supervisor.client import SupervisorClient
from tests.plugins.supervisorkit import spec_of

async def main():
    root = Path(sys.argv[1])
    client = await SupervisorClient.ensure(root / "sup")
    await client.start(spec_of(root, "w", sys.argv[2]))
    print(client.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def zombies() -> list[int]:
    """Dead children that this process has not reaped."""
    return [stat.pid for stat in all_stats() if stat.ppid == os.getpid() and stat.state == "Z"]


#: what init is on a real machine: the last subreaper, which reaps and tells nobody.
INIT = """
import os, subprocess, sys, signal
from plugins.supervisor.kernel import become_subreaper
become_subreaper()
agent = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(agent.pid, flush=True)
while True:
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        signal.pause()
"""


@contextlib.asynccontextmanager
async def agent_below_init(root, script):
    """Yields (agent's pid, supervisor's pid) of an agent that this process is not the reaper of."""
    init = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        INIT,
        AGENT,
        str(root),
        script,
        cwd=ROOT_DIR,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ROOT_DIR + ":" + os.environ.get("PYTHONPATH", "")},
    )
    try:
        pids = [int(await asyncio.wait_for(init.stdout.readline(), 20)) for _ in range(2)]
        yield tuple(pids)
    finally:
        init.terminate()
        await init.wait()


async def start_agent(root, script):
    agent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        AGENT,
        str(root),
        script,
        cwd=ROOT_DIR,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ROOT_DIR + ":" + os.environ.get("PYTHONPATH", "")},
    )
    return agent, int(await asyncio.wait_for(agent.stdout.readline(), 20))


async def kill_agent(agent):
    agent.kill()
    await agent.wait()


async def test_killed_agent_leaves_its_tasks_and_finds_them_again(tmp_path):
    agent, supervisor = await start_agent(
        tmp_path, "trap 'exit 42' TERM; echo up; while :; do sleep 0.02; done"
    )
    await kill_agent(agent)
    assert read_stat(supervisor).state != "Z"
    async with supervised(tmp_path) as client:
        assert client.pid == supervisor
        assert (await client.recover("w")).state == "running"
        await eventually(lambda: log_of(tmp_path, "w") == b"up\n", "its output is pumped")
        await client.stop("w", signal.SIGTERM, 10)
        assert (await client.wait("w")).exit_code == 42


async def test_task_that_ended_while_the_agent_was_dead(tmp_path):
    agent, _ = await start_agent(
        tmp_path, f"while [ ! -e {tmp_path}/gate ]; do sleep 0.01; done; echo bye; exit 9"
    )
    await kill_agent(agent)
    (tmp_path / "gate").touch()
    await eventually(lambda: log_of(tmp_path, "w") == b"bye\n", "it ends")
    async with supervised(tmp_path) as client:
        assert (await client.wait("w")).exit_code == 9


async def kill_both(agent, supervisor):
    os.kill(supervisor, signal.SIGSTOP)  # so that the dying agent cannot replace it
    os.kill(agent, signal.SIGKILL)
    await is_dead(agent)
    os.kill(supervisor, signal.SIGKILL)
    await is_dead(supervisor)


async def test_both_killed_is_said(tmp_path):
    """Nobody was left to learn the status; a running task is taken back, but its end is unknown."""
    wait = "while [ ! -e {0}/{1} ]; do sleep 0.01; done;"
    script = (
        wait.format(tmp_path, "alone")
        + f"echo alone; touch {tmp_path}/wrote;"
        + wait.format(tmp_path, "gate")
    )
    async with agent_below_init(tmp_path, script + "echo on") as pids:
        await kill_both(*pids)
        (tmp_path / "alone").touch()
        await eventually((tmp_path / "wrote").exists, "the task writes while nobody reads, and lives")
        async with supervised(tmp_path) as client:
            assert (await client.recover("w")).state == "running"
            (tmp_path / "gate").touch()
            result = await asyncio.wait_for(client.wait("w"), 15)
            assert "unknown" in result.error and not result.successful
            await eventually(
                lambda: log_of(tmp_path, "w") == b"alone\non\n", "the task held its own pipe open"
            )


async def test_ended_while_both_were_dead(tmp_path):
    async with agent_below_init(tmp_path, "sleep 1000") as pids:
        await kill_both(*pids)
        for pid in processes_of(tmp_path):
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not processes_of(tmp_path), "everything is dead")
        async with supervised(tmp_path) as client:
            assert "unknown" in (await asyncio.wait_for(client.wait("w"), 15)).error


async def test_upgrade_in_place_keeps_everything(tmp_path):
    async with supervised(tmp_path) as client:
        count = 300_000
        info = await client.start(spec_of(tmp_path, "w", "", argv=writer(count)))
        waiting = asyncio.ensure_future(client.wait("w"))
        pid = client.pid
        for _ in range(3):
            await client.upgrade()
            assert (await client.list())[0].pid == info.pid
        assert client.pid == pid
        assert (await waiting).exit_code == 0
        expected = b"".join(b"line %d\n" % number for number in range(count))
        await eventually(lambda: len(log_of(tmp_path, "w")) >= len(expected), "all is logged")
        assert log_of(tmp_path, "w") == expected


def unread(root, task_id):
    """Bytes that wait in a task's stdout FIFO."""
    fd = os.open(root / "sup/tasks" / key_of(task_id) / "stdout", os.O_RDONLY | os.O_NONBLOCK)
    try:
        return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]
    finally:
        os.close(fd)


async def test_frozen_supervisor_is_bounded(tmp_path, monkeypatch):
    """Writers block after a known amount, requests fail at their deadline in words, late requests are not done."""
    monkeypatch.setattr("plugins.supervisor.keeper.REQUEST_S", 0.5)
    async with supervised(tmp_path) as client:
        await client.start(spec_of(tmp_path, "w", "", argv=writer(1_000_000)))
        os.kill(client.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(SupervisorUnavailable, match="kill -CONT") as caught:
                late = msgspec.to_builtins(spec_of(tmp_path, "late", "sleep 1000"))
                await client._keeper.call("start", 0.5, key=key_of("late"), spec=late)
            assert caught.value.recoverable and time.monotonic() - began < 5
            assert read_stat(int((tmp_path / "sup/supervisor.lock").read_text())).state == "T"
            assert 0 < unread(tmp_path, "w") <= PIPE_BYTES, "the documented bound"
        finally:
            os.kill(client.pid, signal.SIGCONT)
        assert (await asyncio.wait_for(client.wait("w"), 60)).exit_code == 0
        assert [info.id for info in await client.list()] == ["w"], (
            "a request past its deadline was carried out"
        )


async def test_a_frozen_supervisor_at_start_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("plugins.supervisor.keeper.CONNECT_S", 0.5)
    async with supervised(tmp_path) as client:
        os.kill(client.pid, signal.SIGSTOP)
        try:
            with pytest.raises(SupervisorUnavailable, match=f"pid {client.pid}.*stopped"):
                await SupervisorClient.ensure(tmp_path / "sup")
        finally:
            os.kill(client.pid, signal.SIGCONT)


async def test_kill_right_after_start_is_never_two(tmp_path):
    """SIGKILL around a start: the repeated request finds the first process, or none ran."""
    async with supervised(tmp_path) as client:
        for turn in range(8):
            starting = asyncio.ensure_future(
                client.start(spec_of(tmp_path, f"t{turn}", "echo once; sleep 1000"))
            )
            await asyncio.sleep(0.001 * turn)
            pid = client.pid
            os.kill(pid, signal.SIGKILL)
            await starting
            await reconnected(client, pid)
            info = await client.recover(f"t{turn}")
            if info.state == "running":
                await eventually(functools.partial(log_of, tmp_path, f"t{turn}"), "it wrote")
                assert log_of(tmp_path, f"t{turn}") == b"once\n"
            else:
                # the first process was never released; that is told as a failed task, not run twice
                assert not (await client.wait(f"t{turn}")).successful
            await client.destroy(f"t{turn}")


async def test_shutdown_leaves_nothing(tmp_path):
    client = await SupervisorClient.ensure(tmp_path / "sup")
    await client.start(spec_of(tmp_path, "w", "sleep 1000 & setsid sleep 1000"))
    with pytest.raises(Exception, match="1 tasks run"):
        await client.shutdown()
    await client.destroy("w")
    await client.shutdown()
    await assert_nothing_left(tmp_path)


async def test_forced_shutdown_leaves_nothing_but_the_statuses(tmp_path):
    client = await SupervisorClient.ensure(tmp_path / "sup")
    await client.start(spec_of(tmp_path, "w", "sleep 1000 & setsid sleep 1000"))
    await client.shutdown(force=True)
    assert processes_of(tmp_path) == [] and cgroups_of(tmp_path) == []
    async with supervised(tmp_path) as client:
        assert (await client.wait("w")).signal == signal.SIGKILL


@pytest.mark.parametrize("forked", [False, True])
async def test_a_stale_record_harms_nobody(tmp_path, forked):
    """A record of an earlier boot, or of a start that never forked; its number is now somebody else's."""
    (tmp_path / "logs").mkdir()
    bystander = await asyncio.create_subprocess_exec("/bin/sleep", "1000", start_new_session=True)
    key = key_of("w")
    directory = tmp_path / "sup/tasks" / key
    directory.mkdir(parents=True)
    spec = msgspec.to_builtins(spec_of(tmp_path, "w", "true", cgroup=False))
    identity = {"pid": bystander.pid, "start": 1, "boot": "an-earlier-boot"} if forked else {}
    record = {"id": "w", "key": key, "spec": spec, "state": "running" if forked else "starting", **identity}
    (directory / "task.json").write_bytes(msgspec.json.encode(record))
    try:
        async with supervised(tmp_path) as client:
            if forked:
                assert "unknown" in (await asyncio.wait_for(client.wait("w"), 10)).error
                await client.stop("w", signal.SIGTERM, 0)
            else:
                assert await client.list() == []
            await client.destroy("w")
            assert bystander.returncode is None
            assert read_stat(bystander.pid).state != "Z"
    finally:
        bystander.kill()
        await bystander.wait()


async def test_damaged_records_are_passed_over(tmp_path):
    for number, text in enumerate((b"", b"{", b"[]", b'{"id": 1}', b"\xff\xfe")):
        directory = tmp_path / "sup/tasks" / f"{number:024x}"
        directory.mkdir(parents=True)
        (directory / "task.json").write_bytes(text)
    (tmp_path / "sup/tasks/stray").touch()
    async with supervised(tmp_path) as client:
        assert await client.list() == []
        await client.start(spec_of(tmp_path, "w", "exit 3"))
        assert (await client.wait("w")).exit_code == 3
