"""The node agent with real processes beneath a real supervisor, and killed with SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from daemon.model.base import decode, encode
from daemon.model.enums import ClientStatus, JobType
from daemon.model.job import DispatchPayload
from daemon.model.payload import pack_payload
from daemon.model.tasks import EventType
from daemon.rpc.messages import (
    AllocRestartRequest,
    AllocSignalRequest,
    ExecInput,
    ExecOutput,
    ExecRequest,
    IdQuery,
    LogsRequest,
)
from tests.node.nodekit import MemoryStream, Server, make_agent, make_job, make_task, running, until

pytestmark = pytest.mark.slow  # real processes


def shell(script: str, name: str = "web", **facts):
    return make_task(name, driver="raw_exec", config={"command": "/bin/sh", "args": ["-c", script]}, **facts)


async def read_logs(agent, alloc_id, task="web", **facts):
    stream = MemoryStream()
    await agent.endpoints.handlers["FileSystem.Logs"](LogsRequest(id=alloc_id, task=task, **facts), stream)
    return stream.data.decode()


async def test_a_command_runs_with_its_environment_and_its_log_is_read(data_dir):
    server = Server()
    async with running(data_dir, server, raw_exec=True, meta={"rack": "r7"}) as agent:
        script = (
            'echo "$NOMAD_ALLOC_INDEX $GREETING $NOMAD_META_OWNER"; pwd; cat "$NOMAD_TASK_DIR/in"; exit 4'
        )
        task = shell(
            script,
            env={"GREETING": "hello ${meta.rack}"},
            meta={"owner": "me"},
            dispatch_payload=DispatchPayload(file="in"),
        )
        import msgspec

        job = msgspec.structs.replace(make_job(task, type=JobType.BATCH), payload=pack_payload(b"payload\n"))
        alloc_id = server.place(job)
        await server.status(alloc_id, ClientStatus.FAILED)
        log = await read_logs(agent, alloc_id)
        task_dir = data_dir / "alloc" / alloc_id / "web"
        assert log.splitlines()[:3] == ["0 hello r7 me", str(task_dir), "payload"]
        assert log.count("payload") == 3, "the first attempt and two restarts"


async def test_signal_restart_exec_and_stats(data_dir):
    server = Server()
    async with running(data_dir, server, raw_exec=True) as agent:
        script = 'trap "echo got usr1" USR1; echo up; while true; do sleep 0.05; done'
        alloc_id = server.place(make_job(shell(script)))
        await server.status(alloc_id, ClientStatus.RUNNING)
        calls = agent.endpoints.handlers

        async def log_has(text, times=1):
            for _ in range(200):
                if (await read_logs(agent, alloc_id)).count(text) >= times:
                    return
                await asyncio.sleep(0.05)
            raise AssertionError(f"{text!r} is not in the log: {await read_logs(agent, alloc_id)}")

        await log_has("up")
        await calls["Allocations.Signal"](AllocSignalRequest(id=alloc_id[:8], signal="SIGUSR1"))
        await log_has("got usr1")
        usage = (await calls["Allocations.Stats"](IdQuery(id=alloc_id))).tasks["web"]
        assert usage.memory_rss_bytes > 0
        stream = MemoryStream(encode(ExecInput(stdin=b"typed", close=True)), close=False)
        command = ("/bin/sh", "-c", "cat; echo err >&2; exit 7")
        await calls["Allocations.Exec"](ExecRequest(id=alloc_id, task="web", command=command), stream)
        frames = [decode(frame, ExecOutput) for frame in stream.sent]
        assert b"".join(frame.stdout for frame in frames) == b"typed"
        assert b"".join(frame.stderr for frame in frames) == b"err\n"
        assert (frames[-1].exited, frames[-1].exit_code) == (True, 7)
        await calls["Allocations.Restart"](AllocRestartRequest(id=alloc_id))
        await log_has("up", times=2)
        state = (await server.status(alloc_id, ClientStatus.RUNNING)).task_states["web"]
        await until(lambda: server.allocs[alloc_id].task_states["web"].restarts == 1)
        assert EventType.SIGNALING in [event.type for event in state.events]


async def test_a_followed_log_ends_with_its_allocation(data_dir):
    server = Server()
    async with running(data_dir, server, raw_exec=True) as agent:
        job = make_job(shell("for i in 1 2 3; do echo $i; sleep 0.1; done"), type=JobType.BATCH)
        alloc_id = server.place(job)
        await until(lambda: alloc_id in agent.runners)
        log = await asyncio.wait_for(read_logs(agent, alloc_id, follow=True), 15)
        assert log == "1\n2\n3\n"


async def test_an_unknown_command_fails_in_words(data_dir):
    server = Server()
    async with running(data_dir, server, raw_exec=True):
        task = make_task(driver="raw_exec", config={"command": "/no/such/program"})
        alloc_id = server.place(make_job(task, type=JobType.BATCH))
        alloc = await server.status(alloc_id, ClientStatus.FAILED)
        texts = " ".join(event.display_message for event in alloc.task_states["web"].events)
        assert "/no/such/program" in texts


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.node.nodekit import Server, make_agent, make_job
from tests.node.test_node_processes import shell

async def main(data_dir, alloc_ids, script):
    server = Server()
    agent = make_agent(data_dir, server, raw_exec=True)
    await agent.start()
    await agent.ready.wait()
    for alloc_id in alloc_ids:
        server.place(make_job(shell(script)), alloc_id)
    if "wait" in sys.argv[1]:
        for alloc_id in alloc_ids:
            await server.status(alloc_id, "running")
    print("go", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main(Path(sys.argv[2]), sys.argv[4:], sys.argv[3]))
"""
ALLOC_IDS = [f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2, 3)]


def processes_with(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if line.startswith(b"/bin/sh\0-c\0") and marker.encode() in line:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize(("mode", "after_s"), [("wait", 0.0), ("now", 0.0), ("now", 0.05), ("now", 0.15)])
async def test_an_agent_killed_at_any_moment_ends_with_the_right_tasks(data_dir, mode, after_s):
    marker = f"marker-{data_dir.name}-{os.getpid()}"
    script = f": {marker}; echo begin; while true; do sleep 0.1; done"
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), mode, str(data_dir), script, *ALLOC_IDS],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        await asyncio.to_thread(child.stdout.readline)
        await asyncio.sleep(after_s)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    if mode == "wait":
        before = sorted(processes_with(marker))
        assert len(before) == 3
    server = Server()
    async with running(data_dir, server, raw_exec=True) as agent:
        for alloc_id in ALLOC_IDS:
            server.place(make_job(shell(script)), alloc_id)
        for alloc_id in ALLOC_IDS:
            await server.status(alloc_id, ClientStatus.RUNNING)
        await until(lambda: len(processes_with(marker)) == 3)
        if mode == "wait":
            assert sorted(processes_with(marker)) == before, "the same processes go on"
        attempts = [runner.core.tasks["web"].record.attempt for runner in agent.runners.values()]
        assert attempts == [1, 1, 1]
        for alloc_id in ALLOC_IDS:
            server.stop(alloc_id)
        for alloc_id in ALLOC_IDS:
            await server.status(alloc_id, ClientStatus.COMPLETE)
        assert processes_with(marker) == []


async def test_a_killed_supervisor_costs_no_task(data_dir):
    marker = f"marker-{data_dir.name}-{os.getpid()}"
    server = Server()
    async with running(data_dir, server, raw_exec=True) as agent:
        alloc_id = server.place(make_job(shell(f": {marker}; while true; do echo x; sleep 0.05; done")))
        await server.status(alloc_id, ClientStatus.RUNNING)
        before = await until(lambda: processes_with(marker))
        os.kill(agent._drivers._supervisor.pid, signal.SIGKILL)
        size = len(await read_logs(agent, alloc_id))
        for _ in range(200):
            if len(await read_logs(agent, alloc_id)) > size + 20:
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("nothing is logged any more")
        assert processes_with(marker) == before
        assert server.allocs[alloc_id].task_states["web"].restarts == 0
        server.stop(alloc_id)
        await server.status(alloc_id, ClientStatus.COMPLETE)
        assert processes_with(marker) == []


async def test_agent_and_supervisor_killed_together_leave_no_second_process(data_dir):
    marker = f"marker-{data_dir.name}-{os.getpid()}"
    script = f": {marker}; while true; do sleep 0.1; done"
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), "wait", str(data_dir), script, *ALLOC_IDS],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        await asyncio.to_thread(child.stdout.readline)
        assert len(processes_with(marker)) == 3
        [supervisor] = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdecimal()
            and _cmdline(entry).endswith(str(data_dir / "supervisor").encode() + b"\0")
        ]
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    os.kill(supervisor, signal.SIGKILL)
    server = Server()
    async with running(data_dir, server, raw_exec=True):
        job = make_job(shell(script))
        for alloc_id in ALLOC_IDS:
            server.place(job, alloc_id)
        for alloc_id in ALLOC_IDS:
            await server.status(alloc_id, ClientStatus.RUNNING)
        await until(lambda: len(processes_with(marker)) == 3)
        for alloc_id in ALLOC_IDS:
            server.stop(alloc_id)
        for alloc_id in ALLOC_IDS:
            await server.status(alloc_id, ClientStatus.COMPLETE)
        assert processes_with(marker) == []


def _cmdline(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.root
async def test_a_tasks_user_reaches_its_directories_and_nobody_elses(tmp_path):
    import shutil
    import tempfile

    # not below pytest's directory, which other users cannot pass through
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o711)
        data_dir = root / "data"
        data_dir.mkdir(mode=0o700)
        server = Server()
        async with running(data_dir, server, raw_exec=True) as agent:
            script = (
                'id -un; pwd; echo x > "$NOMAD_TASK_DIR/mine"; echo x > "$NOMAD_ALLOC_DIR/data/shared";'
                'echo x > "$NOMAD_SECRETS_DIR/token"; cat "$NOMAD_ALLOC_DIR/../root""/secrets/key" 2>&1; ls ../..'
            )
            owner = shell('echo key > "$NOMAD_SECRETS_DIR/key"; sleep 100', "root")
            other = shell(script, "other", user="nobody", restart_policy=None)
            alloc_id = server.place(make_job(owner, other, type=JobType.BATCH))
            key = data_dir / "alloc" / alloc_id / "root" / "secrets" / "key"
            await until(lambda: key.exists() and server.allocs[alloc_id].task_states["other"].finished_at_ns)
            log = await read_logs(agent, alloc_id, "other")
            assert log.splitlines()[:2] == ["nobody", str(data_dir / "alloc" / alloc_id / "other")]
            assert "Permission denied" in log
            layout = data_dir / "alloc" / alloc_id
            assert (layout / "other/local/mine").exists() and (layout / "alloc/data/shared").exists()
            server.stop(alloc_id)
            await server.status(alloc_id, ClientStatus.FAILED)
    finally:
        shutil.rmtree(root)


async def test_tasks_are_taken_back_when_the_supervisor_comes_late(data_dir, monkeypatch):
    from daemon.node.drivers import manager
    from plugins.supervisor.client import SupervisorClient
    from plugins.supervisor.types import SupervisorUnavailable

    monkeypatch.setattr(manager, "_UNHEALTHY_PERIOD_S", 0.2)
    marker = f"marker-{data_dir.name}-{os.getpid()}"
    server = Server()
    agent = make_agent(data_dir, server, raw_exec=True)
    await agent.start()
    await agent.ready.wait()
    job = make_job(shell(f": {marker}; while true; do sleep 0.1; done"))
    alloc_id = server.place(job)
    await server.status(alloc_id, ClientStatus.RUNNING)
    before = await until(lambda: processes_with(marker))
    await agent.stop(kill_tasks=False)
    tries = 0

    async def late(directory):
        nonlocal tries
        tries += 1
        if tries < 4:
            raise SupervisorUnavailable("not yet")
        return await SupervisorClient.ensure(directory)

    agent = make_agent(data_dir, server, raw_exec=True)
    agent._supervisor = late
    await agent.start()
    try:
        assert not agent._drivers.infos["raw_exec"].detected
        task = agent.runners[alloc_id].core.tasks["web"]
        await until(lambda: tries == 4 and agent._drivers.infos["raw_exec"].healthy)
        await until(lambda: any("cannot take" in e.display_message for e in task.record.state.events))
        assert (task.record.phase, task.record.attempt) == ("running", 1)
        server.stop(alloc_id)
        await server.status(alloc_id, ClientStatus.COMPLETE)
        assert before and processes_with(marker) == []
        kinds = [event.type for event in server.allocs[alloc_id].task_states["web"].events]
        assert EventType.RESTARTING not in kinds
    finally:
        await agent.stop(kill_tasks=True)
