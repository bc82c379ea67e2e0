"""What the supervisor does with ordinary tasks: start, streams, limits, users, commands, lists."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from plugins.driver import DriverError, TaskNotFound
from plugins.kit import ScriptedIO, eventually
from plugins.supervisor import launch, protocol
from plugins.supervisor.client import SupervisorClient
from plugins.supervisor.kernel import open_process, read_stat
from plugins.supervisor.streams import run_command
from plugins.supervisor.types import CommandSpec, LogTarget, StartFailed, key_of
from tests.plugins.supervisorkit import (
    cgroups_of,
    descriptors,
    log_of,
    processes_of,
    reconnected,
    spec_of,
    supervised,
)

pytestmark = pytest.mark.slow  # real processes


async def test_small_and_alone(tmp_path):
    """One process per directory, small, with an own session, a 0600 socket in a 0700 directory."""
    async with supervised(tmp_path) as client:
        with open(f"/proc/{client.pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        assert int(status["VmRSS"].split()[0]) < 20_000, "the supervisor must stay small"
        assert read_stat(client.pid).session == client.pid
        assert oct((tmp_path / "sup/supervisor.sock").stat().st_mode & 0o777) == "0o600"
        assert oct((tmp_path / "sup").stat().st_mode & 0o777) == "0o700"
        other = await SupervisorClient.ensure(tmp_path / "sup")
        assert other.pid == client.pid
        await other.close()
        rc = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "plugins.supervisor", "--dir", str(tmp_path / "sup")],
            timeout=20,
            check=False,
            env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(launch.__file__)) + "/.."},
        )
        assert rc.returncode == 75, "a second one must leave"


@pytest.mark.parametrize("cgroup", [True, False])
async def test_two_directories_never_share(tmp_path, cgroup):
    (tmp_path / "b").mkdir()
    async with supervised(tmp_path) as one, supervised(tmp_path / "b") as two:
        assert one.pid != two.pid and one.cgroup_parent != two.cgroup_parent
        await one.start(spec_of(tmp_path, "same", "sleep 1000", cgroup=cgroup))
        await two.start(spec_of(tmp_path / "b", "same", "sleep 1000", cgroup=cgroup))
        await two.destroy("same")
        assert (await one.recover("same")).state == "running"


async def test_a_long_path(tmp_path):
    """A socket's path may have 107 bytes; a data directory may have more."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with supervised(deep) as client:
        await client.start(spec_of(deep, "w", "exit 4"))
        assert (await client.wait("w")).exit_code == 4


@pytest.mark.parametrize(
    ("changes", "stage", "words"),
    [
        ({"argv": ["/no/such/program"]}, "exec", "No such file"),
        ({"argv": ["/etc/passwd"]}, "exec", "Permission denied"),
        ({"cwd": "/no/such/dir"}, "work_dir", "No such file"),
        ({"join": ["/no/such/group"]}, "cgroup", "No such file"),
        ({"oom_score_adj": 5000}, "oom_score_adj", "Invalid argument"),
        ({"logs": LogTarget(dir="/no/such/dir", name="x")}, "prepare", "No such file"),
    ],
)
async def test_a_start_that_fails_says_where(tmp_path, changes, stage, words):
    async with supervised(tmp_path) as client:
        before = descriptors()
        with pytest.raises(StartFailed, match=words) as caught:
            await client.start(spec_of(tmp_path, "w", "sleep 1000", **changes))
        assert caught.value.stage == stage
        assert await client.list() == [] and cgroups_of(tmp_path) == []
        assert os.listdir(tmp_path / "sup/tasks") == []
        assert descriptors() == before
        # the id is free again
        await client.start(spec_of(tmp_path, "w", "exit 3"))
        assert (await client.wait("w")).exit_code == 3


async def test_what_a_task_starts_with(tmp_path):
    """Exactly its environment, no stray descriptors, default signals, own session, umask 022."""
    async with supervised(tmp_path) as client:
        os.environ["LEAK"] = "secret of the agent"
        script = (
            "env; ls -l /proc/self/fd; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; umask;"
            "ps -o sid= -p $$; echo $$"
        )
        await client.start(
            spec_of(
                tmp_path, "w", script, env={"ONLY": "this", "PATH": "/usr/bin:/bin", "ROOT": str(tmp_path)}
            )
        )
        await client.wait("w")
        text = log_of(tmp_path, "w").decode()
        names = {line.partition("=")[0] for line in text.splitlines() if "=" in line}
        assert names <= {"ONLY", "PATH", "PWD", "ROOT", "SHLVL", "_", "OLDPWD"}, names
        fds = [line.split()[8] for line in text.splitlines() if "->" in line]
        assert fds == ["0", "1", "2", "3"], "3 is ls's own"
        masks = {line[:6]: int(line.split()[1], 16) for line in text.splitlines() if line.startswith("Sig")}
        # 32 and 33 belong to the C library, which lets nobody change them
        assert masks["SigBlk"] == 0 and masks["SigIgn"] & ~(3 << 31) == 0
        # the shell clears the mask by itself, so look at a program that does not
        await client.start(spec_of(tmp_path, "g", "", argv=["/bin/grep", "SigBlk", "/proc/self/status"]))
        await client.wait("g")
        assert log_of(tmp_path, "g") == b"SigBlk:\t0000000000000000\n"
        *_, umask, sid, pid = text.split()
        assert umask == "0022" and sid == pid


async def test_big_environment(tmp_path):
    """A body that is larger than a message of the socket."""
    async with supervised(tmp_path) as client:
        env = {f"VARIABLE_{number}": "x" * 1000 for number in range(500)}
        await client.start(
            spec_of(tmp_path, "w", "echo ${#VARIABLE_499}; env | wc -c", env={"PATH": "/bin:/usr/bin", **env})
        )
        assert (await client.wait("w")).successful
        assert int(log_of(tmp_path, "w").split()[1]) > 500_000


@pytest.mark.root
async def test_user_and_groups(tmp_path):
    async with supervised(tmp_path) as client:
        await client.start(
            spec_of(
                tmp_path,
                "w",
                "id -u; id -g; id -G; echo again > /dev/stdout",
                uid=65534,
                gid=65534,
                groups=[65534, 33],
            )
        )
        assert (await client.wait("w")).successful
        assert log_of(tmp_path, "w").split(b"\n")[:4] == [b"65534", b"65534", b"65534 33", b"again"]


async def test_signals_and_statuses(tmp_path):
    async with supervised(tmp_path) as client:
        await client.start(
            spec_of(tmp_path, "w", "trap 'echo hup' HUP; echo up; while :; do sleep 0.02; done")
        )
        await eventually(lambda: log_of(tmp_path, "w") == b"up\n", "it is up")
        await client.signal("w", signal.SIGHUP)
        await eventually(lambda: log_of(tmp_path, "w") == b"up\nhup\n", "the signal arrived")
        await client.signal("w", signal.SIGKILL)
        assert (await client.wait("w")).signal == signal.SIGKILL
        with pytest.raises(TaskNotFound):
            await client.signal("w", signal.SIGHUP)
        for ask in (client.signal("x", 1), client.kill("x"), client.wait("x"), client.recover("x")):
            with pytest.raises(TaskNotFound, match="'x'"):
                await ask


@pytest.mark.parametrize("cgroup", [True, False])
async def test_daemons_die_with_the_main_process(tmp_path, cgroup):
    """Double fork, own session, closed output: all of it is gone when the main process has ended."""
    async with supervised(tmp_path) as client:
        script = (
            "(setsid sh -c 'sleep 5000 >/dev/null 2>&1 & exec sleep 5000' >/dev/null 2>&1 &);"
            "sleep 5000 & sleep 0.3; exit 8"
        )
        await client.start(spec_of(tmp_path, "w", script, cgroup=cgroup))
        await eventually(lambda: len(processes_of(tmp_path)) >= 5, "daemons are there")
        assert (await client.wait("w")).exit_code == 8
        assert processes_of(tmp_path) == [client.pid]


@pytest.mark.parametrize("cgroup", [True, False])
async def test_a_forking_storm_is_stopped(tmp_path, cgroup):
    script = "while :; do (setsid sleep 0.05 &) ; sleep 0.005; done"
    async with supervised(tmp_path) as client:
        await client.start(spec_of(tmp_path, "w", script, cgroup=cgroup))
        await asyncio.sleep(0.3)
        await client.stop("w", signal.SIGTERM, 0)
        assert (await client.wait("w")).signal == signal.SIGKILL
        await eventually(lambda: processes_of(tmp_path) == [client.pid], "all are gone")


async def test_many_tasks_and_pages(tmp_path):
    async with supervised(tmp_path) as client:
        count = 230
        specs = [spec_of(tmp_path, f"job/{number:03}", f"exit {number % 5}") for number in range(count)]
        await asyncio.gather(*(client.start(spec) for spec in specs))
        results = await asyncio.gather(*(client.wait(spec.id) for spec in specs))
        assert [result.exit_code for result in results] == [number % 5 for number in range(count)]
        assert [info.id for info in await client.list()] == [spec.id for spec in specs]
        await asyncio.gather(*(client.destroy(spec.id) for spec in specs))
        assert await client.list() == []


async def test_descriptors_do_not_leak(tmp_path):
    async with supervised(tmp_path) as client:

        def open_there():
            return len(os.listdir(f"/proc/{client.pid}/fd"))

        await client.start(spec_of(tmp_path, "first", "exit 0"))
        await client.wait("first")
        await client.destroy("first")
        before, ours = open_there(), descriptors()
        for number in range(20):
            await client.start(spec_of(tmp_path, f"t{number}", "echo hello"))
            await client.wait(f"t{number}")
            await client.destroy(f"t{number}")
        await eventually(lambda: open_there() == before, "the supervisor has closed everything")
        assert descriptors() == ours


async def test_exit_is_kept_until_destroyed(tmp_path):
    async with supervised(tmp_path) as client:
        await client.start(spec_of(tmp_path, "w", "exit 5"))
        await client.wait("w")
        pid = client.pid
        os.kill(pid, signal.SIGKILL)
        await reconnected(client, pid)
        assert (await client.wait("w")).exit_code == 5
        await client.destroy("w")
        await client.destroy("w")
        with pytest.raises(TaskNotFound):
            await client.wait("w")


async def test_wait_ends_when_somebody_destroys(tmp_path):
    async with supervised(tmp_path) as client:
        await client.start(spec_of(tmp_path, "w", "sleep 1000"))
        waiting = asyncio.ensure_future(client.wait("w"))
        await asyncio.sleep(0.05)
        await client.destroy("w")
        assert (await asyncio.wait_for(waiting, 10)).signal == signal.SIGKILL


async def test_from_another_thread(tmp_path):
    """Drivers run on loops of their own."""
    async with supervised(tmp_path) as client:
        found = []

        def other():
            async def work():
                await client.start(spec_of(tmp_path, "w", "exit 6"))
                found.append(await client.wait("w"))
                waiting = asyncio.ensure_future(client.wait("nobody"))
                try:
                    await waiting
                except TaskNotFound as error:
                    found.append(error)

            asyncio.run(work())

        thread = threading.Thread(target=other, daemon=True)
        thread.start()
        await asyncio.to_thread(thread.join, 20)
        assert found[0].exit_code == 6 and isinstance(found[1], TaskNotFound)


async def test_commands_beside_a_task(tmp_path):
    async with supervised(tmp_path) as client:
        await client.start(spec_of(tmp_path, "w", "sleep 1000"))
        io = ScriptedIO(b"to upper")
        result = await run_command(client, "w", CommandSpec(argv=["/usr/bin/tr", "a-z", "A-Z"]), io)
        assert result.successful and io.stdout == b"TO UPPER"
        with pytest.raises(StartFailed):
            await run_command(client, "w", CommandSpec(argv=["/no/such"]), ScriptedIO())
        io = ScriptedIO(sizes=((40, 120),))
        argv = ["/bin/sh", "-c", "test -t 0 && sleep 0.2; stty size; tty; ps -o tty= -p $$"]
        await run_command(client, "w", CommandSpec(argv=argv, tty=True), io)
        assert b"40 120" in io.stdout and b"/dev/pts/" in io.stdout
        before = processes_of(tmp_path)
        with pytest.raises(TimeoutError):
            command = run_command(client, "w", CommandSpec(argv=["/bin/sleep", "999"]), ScriptedIO(hold=True))
            await asyncio.wait_for(command, 0.5)
        await eventually(
            lambda: sorted(processes_of(tmp_path)) == sorted(before), "the cancelled command is gone"
        )
        # a command does not outlive its task, and its end is told
        running = asyncio.ensure_future(
            run_command(client, "w", CommandSpec(argv=["/bin/sleep", "999"]), ScriptedIO(hold=True))
        )
        # a launcher that has not joined the task's cgroup yet would be refused rather than killed
        await eventually(
            lambda: any(_runs(pid, b"999") for pid in processes_of(tmp_path)), "the command runs"
        )
        await client.kill("w")
        if (await client.wait("w")) and spec_of(tmp_path, "w", "").cgroup:
            assert (await asyncio.wait_for(running, 10)).signal == signal.SIGKILL
        running.cancel()
        with pytest.raises(TaskNotFound):
            await run_command(client, "w", CommandSpec(argv=["/bin/true"]), ScriptedIO())


async def test_a_slow_reader_slows_the_command(tmp_path):
    class SlowIO(ScriptedIO):
        async def output(self, stream, data):
            await super().output(stream, data)
            await asyncio.sleep(0.01)

    async with supervised(tmp_path) as client:
        await client.start(spec_of(tmp_path, "w", "sleep 1000"))
        io = SlowIO()
        spec = CommandSpec(argv=["/bin/sh", "-c", "head -c 2000000 /dev/zero"])
        assert (await run_command(client, "w", spec, io)).successful
        assert len(io.stdout) == 2_000_000


async def test_garbage_on_the_socket_harms_nobody(tmp_path):
    async with supervised(tmp_path) as client:
        for junk in (
            b"\x00\xff",
            b"[]",
            b'{"body": 99}',
            b'{"op": "nonsense"}',
            b'{"op":"start","n":1}',
            b"{}" * 20000,
        ):
            sock = launch.connect(tmp_path / "sup")
            sock.setblocking(True)
            sock.settimeout(5)
            sock.send(junk)
            try:
                sock.recv(100_000)
            except OSError:
                pass
            sock.close()
        assert await client.list() == []


async def test_a_client_that_does_not_read_is_cut_off(tmp_path):
    async with supervised(tmp_path) as client:
        sock = launch.connect(tmp_path / "sup")
        data, _, _ = protocol.encode({"n": 1, "op": "list"})
        deadline_s = time.monotonic() + 10
        cut = False
        while not cut and time.monotonic() < deadline_s:
            try:
                for _ in range(100):
                    sock.send(data)
            except BlockingIOError:
                await asyncio.sleep(0.01)
            except (BrokenPipeError, ConnectionResetError):
                cut = True
        sock.close()
        assert cut
        assert await client.list() == []


async def test_rate_limit_slows_and_drops_nothing(tmp_path):
    async with supervised(tmp_path) as client:
        logs = LogTarget(
            dir=str(tmp_path / "logs"),
            name="w",
            files_max=100,
            file_max_bytes=2**20,
            rate_limit_bytes=200_000,
        )
        spec = spec_of(tmp_path, "w", "head -c 400000 /dev/zero | tr '\\0' x; echo end", logs=logs)
        began_s = time.monotonic()
        await client.start(spec)
        await asyncio.sleep(0.3)
        assert len(log_of(tmp_path, "w")) < 300_000
        await eventually(lambda: log_of(tmp_path, "w").endswith(b"end\n"), "all is there")
        assert len(log_of(tmp_path, "w")) == 400_004 and time.monotonic() - began_s > 0.7
        # what waits at the end is not lost either
        await client.start(
            spec_of(
                tmp_path,
                "v",
                "head -c 900000 /dev/zero",
                logs=LogTarget(dir=str(tmp_path / "logs"), name="v", rate_limit_bytes=10_000),
            )
        )
        await client.wait("v")
        await client.destroy("v")
        assert len(log_of(tmp_path, "v")) == 900_000


async def test_logs_may_vanish_or_be_disabled(tmp_path):
    async with supervised(tmp_path) as client:
        spec = spec_of(
            tmp_path,
            "w",
            "while [ ! -e gone ]; do sleep 0.01; done; seq 100000; exit 2",
            cwd=str(tmp_path),
            logs=LogTarget(dir=str(tmp_path / "logs"), name="w", file_max_bytes=1000),
        )
        await client.start(spec)
        for name in os.listdir(tmp_path / "logs"):
            os.unlink(tmp_path / "logs" / name)
        os.rmdir(tmp_path / "logs")
        (tmp_path / "gone").touch()
        assert (await asyncio.wait_for(client.wait("w"), 20)).exit_code == 2
        (tmp_path / "logs").mkdir()
        quiet = LogTarget(dir=str(tmp_path / "logs"), name="q", disabled=True)
        await client.start(spec_of(tmp_path, "q", "seq 1000000", logs=quiet))
        assert (await asyncio.wait_for(client.wait("q"), 20)).successful
        assert os.listdir(tmp_path / "logs") == []


async def test_full_disk_blocks_the_writer_and_loses_nothing(tmp_path):
    """A small tmpfs stands for a full disk."""
    if os.geteuid() != 0:
        pytest.skip("needs to mount")
    (tmp_path / "logs").mkdir()
    mounted = await asyncio.to_thread(
        subprocess.run,
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(tmp_path / "logs")],
        check=False,
    )
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        async with supervised(tmp_path) as client:
            filler = tmp_path / "logs/filler"
            with open(filler, "wb") as file:
                file.write(b"x" * 150_000)
            await client.start(spec_of(tmp_path, "w", "seq 100000; echo end"))
            await asyncio.sleep(0.5)
            size = len(log_of(tmp_path, "w"))
            assert size < 100_000
            subprocess.run(["mount", "-o", "remount,size=4m", str(tmp_path / "logs")], check=True)
            await eventually(lambda: log_of(tmp_path, "w").endswith(b"end\n"), "it goes on")
            assert log_of(tmp_path, "w") == b"".join(b"%d\n" % n for n in range(1, 100001)) + b"end\n"
    finally:
        subprocess.run(["umount", str(tmp_path / "logs")], check=True)


async def test_wrong_identity_is_never_signalled(tmp_path):
    assert open_process(os.getpid(), read_stat(os.getpid()).start + 1) is None
    fd = open_process(os.getpid(), read_stat(os.getpid()).start)
    assert fd is not None
    os.close(fd)


async def test_other_users_are_refused(tmp_path):
    if os.geteuid() != 0 or not os.path.exists("/usr/bin/python3"):
        pytest.skip("needs root to become somebody else")
    async with supervised(tmp_path) as client:
        os.chmod(tmp_path / "sup", 0o777)
        os.chmod(tmp_path / "sup/supervisor.sock", 0o777)
        path = str(tmp_path / "sup/supervisor.sock")
        for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
            os.chmod(parent, os.stat(parent).st_mode | 0o055)
        code = (
            "import socket,sys; s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET); s.connect(sys.argv[1]);"
            's.settimeout(5); s.send(b\'{"n":1,"op":"list"}\'); print(len(s.recv(1000)))'
        )
        done = await asyncio.to_thread(
            subprocess.run,
            ["/usr/bin/python3", "-c", code, path],
            user=65534,
            capture_output=True,
            check=False,
            timeout=20,
        )
        assert done.stdout.strip() in (b"0", b""), done
        assert socket and key_of("x") and await client.list() == []


async def test_errors_reach_the_caller(tmp_path):
    async with supervised(tmp_path) as client:
        with pytest.raises(DriverError, match="no operation"):
            await client._keeper.call("dance")
        with pytest.raises(DriverError, match="bad-request"):
            await client._keeper.call("start", spec={})


async def test_destroy_while_it_starts(tmp_path):
    """A start that nobody waits for any more can be taken back at any moment."""
    async with supervised(tmp_path) as client:
        for turn in range(10):
            starting = asyncio.ensure_future(client.start(spec_of(tmp_path, "w", "sleep 1000")))
            for _ in range(turn):
                await asyncio.sleep(0)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await asyncio.wait_for(client.destroy("w"), 10)
            assert await client.list() == []
        assert processes_of(tmp_path) == [client.pid]


async def test_leaves_when_it_is_not_needed(tmp_path):
    """Without tasks and clients the process ends; SIGTERM ends it only while no task runs."""
    code = (
        "import sys; from plugins.supervisor import server, __main__ as m; server.IDLE_S = 0.3;"
        "sys.exit(m.main(['supervisor', '--dir', sys.argv[1]]))"
    )
    env = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(launch.__file__)))}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(tmp_path / "sup"), env=env)
    await eventually(lambda: (tmp_path / "sup/supervisor.sock").exists(), "it listens")
    client = await SupervisorClient.ensure(tmp_path / "sup")
    assert client.pid == process.pid
    await client.start(spec_of(tmp_path, "w", "sleep 1000"))
    await client.close()
    os.kill(process.pid, signal.SIGTERM)
    await asyncio.sleep(0.8)
    assert process.returncode is None, "a task runs"
    client = await SupervisorClient.ensure(tmp_path / "sup")
    assert client.pid == process.pid
    await client.destroy("w")
    await client.close()
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_an_older_supervisor_is_upgraded(tmp_path, monkeypatch):
    """The agent speaks a newer protocol: the supervisor replaces itself, and its tasks do not notice."""
    async with supervised(tmp_path) as client:
        info = await client.start(spec_of(tmp_path, "w", "sleep 1000"))
        monkeypatch.setattr(protocol, "VERSION", protocol.VERSION + 1)
        # the code on disk is still the old one, so it stays too old; but it has replaced itself, keeping its pid
        with pytest.raises(DriverError, match="upgraded"):
            await SupervisorClient.ensure(tmp_path / "sup")
        monkeypatch.undo()
        assert (await client.recover("w")).pid == info.pid
        assert "replacing the program" in (tmp_path / "sup/supervisor.log").read_text()


def _runs(pid: int, word: bytes) -> bool:
    """True once the process has become the command with that argument."""
    try:
        return word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
