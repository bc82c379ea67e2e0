"""What the exec driver promises about isolation, with a real runtime: each test can see the other side."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal

import pytest

from plugins.driver import DriverError, Limits, Mount
from plugins.exec_driver.driver import ExecDriver
from plugins.kit import Bench, DriverContract, ScriptedIO, eventually
from tests.plugins.supervisorkit import is_dead, reconnected

pytestmark = [pytest.mark.root, pytest.mark.runc, pytest.mark.slow]


class Exec(DriverContract):
    driver_class = ExecDriver
    needs_supervisor = True
    settings = {}

    def plugin_settings(self):
        return self.settings


def play(root, story, **settings):
    contract = Exec()
    contract.settings = settings
    contract.play(root, story)


def shell(script, **more):
    return {"command": "/bin/sh", "args": ["-c", script], **more}


async def output(bench: Bench, script: str, config=None, **changes) -> str:
    """Run a script to its end; its output, both streams."""
    task = bench.task(shell(script, **(config or {})), **changes)
    await bench.driver.start(task)
    result = await bench.driver.wait(task.id)
    await bench.driver.destroy(task.id)
    assert result.successful, (result, bench.log(task, "stderr"))
    return (bench.log(task, "stdout") + bench.log(task, "stderr")).decode()


def test_who_and_where(tmp_path):
    """Not root, no capabilities, no new privileges, own pids, the task directory as root."""

    async def story(bench):
        text = await output(
            bench,
            "id -u; id -un; pwd; echo $$; grep -E '^(CapEff|CapPrm|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status;"
            "ls -d /local /secrets /tmp /alloc/logs; ls /root /home 2>&1; ls /proc | grep -c '^[0-9]'",
        )
        lines = text.splitlines()
        assert lines[:4] == ["65534", "nobody", "/", "1"]
        for name, value in (
            ("CapEff", "0" * 16),
            ("CapPrm", "0" * 16),
            ("CapAmb", "0" * 16),
            ("NoNewPrivs", "1"),
        ):
            assert re.search(rf"{name}:\s+{value}$", text, re.M), text
        assert re.search(r"Seccomp:\s+2$", text, re.M)
        assert {"/local", "/secrets", "/tmp", "/alloc/logs"} <= set(lines)
        assert "cannot access '/root'" in text and "cannot access '/home'" in text
        assert int(lines[-1]) < 8, "other processes of the machine are visible"

    play(tmp_path, story)


def test_system_directories_are_read_only(tmp_path):
    async def story(bench):
        text = await output(
            bench,
            "for d in /bin /usr /usr/bin /lib /etc/ssl /sys /proc/sys/kernel; do"
            " touch $d/x 2>/dev/null && echo wrote $d; done;"
            "ls /etc/shadow /etc/ssl/private/* 2>&1;"
            "echo y > /local/x && echo y > /tmp/x && echo y > /alloc/data/x && echo written",
            user="nobody",
        )
        assert "wrote" not in text.replace("written", ""), text
        assert "cannot access '/etc/shadow'" in text
        assert text.endswith("written\n")

    play(tmp_path, story)


def test_system_directories_are_read_only_for_root_too(tmp_path):
    async def story(bench):
        text = await output(
            bench,
            "for d in /usr /lib /etc/ssl /sys/kernel; do touch $d/x 2>/dev/null && echo wrote $d; done;"
            "mount -o remount,rw /usr 2>/dev/null && echo remounted;"
            "mknod /local/sda b 8 0 2>/dev/null && cat /local/sda 2>/dev/null && echo read a disk;"
            "id -u",
            user="root",
        )
        assert text == "0\n"

    play(tmp_path, story, allow_root=True)


def test_root_needs_the_operator(tmp_path):
    async def story(bench):
        for user in ("root", "0"):
            with pytest.raises(DriverError, match="allow_root"):
                await bench.driver.start(bench.task(shell("id"), user=user))
        with pytest.raises(DriverError, match="denied_host_uids"):
            await bench.driver.start(bench.task(shell("id"), user="daemon"))
        with pytest.raises(DriverError, match="does not exist"):
            await bench.driver.start(bench.task(shell("id"), user="nobody-knows"))

    play(tmp_path, story, denied_host_uids="1-3")


def test_dangerous_calls_are_refused(tmp_path):
    """unshare needs no capability in the kernel, so seccomp alone can refuse it."""

    async def story(bench):
        script = (
            "unshare -U true 2>&1 || echo refused; unshare -m true 2>&1 || echo refused; "
            "python3 -c 'import os,ctypes; l=ctypes.CDLL(None,use_errno=True); "
            'print("keyctl", l.syscall(250,0,0,0,0), ctypes.get_errno())\' 2>&1'
        )
        text = await output(bench, script)
        assert text.count("refused") == 2, text
        if os.uname().machine == "x86_64":
            assert "keyctl -1 1" in text, text

    play(tmp_path, story)


def test_capabilities_by_job_and_operator(tmp_path):
    async def story(bench):
        with pytest.raises(DriverError, match="SYS_ADMIN"):
            await bench.driver.start(bench.task(shell("true", cap_add=["SYS_ADMIN"])))
        text = await output(bench, "grep CapEff /proc/self/status", {"cap_add": ["net_raw"]})
        assert int(text.split()[1], 16) == 1 << 13
        text = await output(bench, "grep CapBnd /proc/self/status", {"cap_drop": ["all"]})
        assert int(text.split()[1], 16) == 0

    play(tmp_path, story, allow_caps=["NET_RAW"])


def test_out_of_memory_is_told_as_such(tmp_path):
    async def story(bench):
        config = {"command": "/usr/bin/python3", "args": ["-c", "x = bytearray(500 * 1024 * 1024)"]}
        if not shutil.which("python3", path="/usr/bin"):
            config = shell("x=$(head -c 500000000 /dev/zero | tr '\\0' x)")
        task = bench.task(config, limits=Limits(cpu_mhz=100, memory_mb=32))
        await bench.driver.start(task)
        result = await bench.driver.wait(task.id)
        assert result.oom_killed and not result.successful, result
        await bench.driver.destroy(task.id)
        roomy = bench.task(config, limits=Limits(cpu_mhz=100, memory_mb=32, memory_max_mb=900))
        await bench.driver.start(roomy)
        assert (await bench.driver.wait(roomy.id)).successful
        await bench.driver.destroy(roomy.id)

    play(tmp_path, story)


def test_limits_are_in_the_cgroup(tmp_path):
    async def story(bench):
        machine, _ = bench.supervisor.cgroups()
        if machine.version != 1:
            pytest.skip("reads version 1 files")
        task = bench.task(shell("sleep 1000"), limits=Limits(cpu_mhz=300, memory_mb=48, memory_max_mb=96))
        handle = await bench.driver.start(task)
        read = {}
        for path in handle.state["cgroup"]["dirs"]:
            for name in ("cpu.shares", "memory.limit_in_bytes", "memory.soft_limit_in_bytes", "pids.max"):
                if os.path.exists(f"{path}/{name}"):
                    with open(f"{path}/{name}") as file:
                        read[name] = int(file.read())
        mib = 1024 * 1024
        assert read == {
            "cpu.shares": 300,
            "memory.limit_in_bytes": 96 * mib,
            "memory.soft_limit_in_bytes": 48 * mib,
            "pids.max": 77,
        }
        stats = await bench.driver.stats(task.id)
        assert stats.pids >= 1 and stats.memory_rss_bytes + stats.memory_cache_bytes > 0
        await bench.driver.destroy(task.id)

    play(tmp_path, story, pids_limit=77)


def test_fork_bomb_is_bounded(tmp_path):
    async def story(bench):
        text = await output(bench, "for i in $(seq 200); do sleep 1000 & done 2>&1; echo survived >&2", {})
        assert "survived" in text or "fork" in text.lower()

    async def story_bounded(bench):
        task = bench.task(shell("for i in $(seq 200); do sleep 1000 & done"))
        await bench.driver.start(task)
        result = await bench.driver.wait(task.id)
        assert result.exit_code != 0 and b"fork" in bench.log(task, "stderr").lower()
        await bench.driver.destroy(task.id)

    play(tmp_path / "a", story, pids_limit=0)
    play(tmp_path / "b", story_bounded, pids_limit=50)


def test_host_volumes_and_read_only(tmp_path):
    async def story(bench):
        data = tmp_path / "volume"
        data.mkdir()
        data.chmod(0o777)
        (data / "in").write_text("from the host\n")
        mounts = (
            Mount(host_path=str(data), task_path="/data/rw"),
            Mount(host_path=str(data), task_path="/data/ro", read_only=True),
        )
        text = await output(
            bench,
            "cat /data/ro/in; echo new > /data/rw/out; touch /data/ro/x 2>/dev/null && echo wrote; echo end",
            mounts=mounts,
        )
        assert text == "from the host\nend\n"
        assert (data / "out").read_text() == "new\n"
        with pytest.raises(DriverError, match="does not exist"):
            missing = (Mount(host_path=str(tmp_path / "gone"), task_path="/data"),)
            await bench.driver.start(bench.task(shell("true"), mounts=missing))
        with pytest.raises(DriverError, match="cannot be mounted"):
            await bench.driver.start(
                bench.task(shell("true"), mounts=(Mount(host_path=str(data), task_path="/proc/x"),))
            )

    play(tmp_path / "bench", story)


def test_network_modes(tmp_path):
    async def story(bench):
        own = await output(
            bench, "readlink /proc/self/ns/net; cat /proc/net/dev | wc -l", network_mode="none"
        )
        host = await output(bench, "readlink /proc/self/ns/net")
        assert host.strip() == os.readlink("/proc/self/ns/net")
        assert own.splitlines() != [host.strip()] and own.splitlines()[1] == "3", (
            "only lo and two lines of heading"
        )
        with pytest.raises(DriverError, match="bridge"):
            await bench.driver.start(bench.task(shell("true"), network_mode="bridge"))

    play(tmp_path, story)


def test_pid_and_ipc_modes(tmp_path):
    async def story(bench):
        script = "readlink /proc/self/ns/pid /proc/self/ns/ipc"
        host = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "ipc")]
        private = (await output(bench, script)).split()
        shared = (await output(bench, script, {"pid_mode": "host", "ipc_mode": "host"})).split()
        assert shared == host
        assert private[0] != host[0] and private[1] != host[1]

    play(tmp_path, story)


def test_task_with_host_pids_is_still_killed_wholly(tmp_path):
    async def story(bench):
        task = bench.task(shell("(setsid sleep 4000 &) ; echo up; exec sleep 4000", pid_mode="host"))
        handle = await bench.driver.start(task)
        await eventually(lambda: bench.log(task, "stdout"), "it is up")
        await bench.driver.stop(task.id, "SIGTERM", 5)
        await bench.driver.destroy(task.id)
        assert not any(os.path.exists(path) for path in handle.state["cgroup"]["dirs"])

    play(tmp_path, story)


def test_missing_command_says_where_it_looked(tmp_path):
    async def story(bench):
        with pytest.raises(DriverError, match=r"command not found.*'webserver'.*/local.*/usr/bin") as caught:
            await bench.driver.start(bench.task({"command": "webserver"}))
        assert not caught.value.recoverable
        task = bench.task({"command": "local/app"})
        path = os.path.join(task.task_dir, "local/app")
        with open(path, "w") as file:
            file.write("#!/no/such/interpreter\n")
        os.chmod(path, 0o755)
        # the runtime has left by the time that this fails, so it is the task that ends, with words in its log
        await bench.driver.start(task)
        assert (await bench.driver.wait(task.id)).exit_code != 0
        await eventually(lambda: b"/local/app" in bench.log(task, "stderr"), "the reason is in the log")
        await bench.driver.destroy(task.id)
        bad = bench.task({**shell("true"), "work_dir": "/usr/bin/env"})
        with pytest.raises(DriverError, match="cannot run"):
            await bench.driver.start(bad)

    play(tmp_path, story)


def test_reopening_dev_stdout_works(tmp_path):
    """Servers are told to log to /dev/stdout, and are not root."""

    async def story(bench):
        assert await output(bench, "echo one > /dev/stdout; echo two > /dev/stderr") == "one\ntwo\n"

    play(tmp_path, story)


def test_commands_inside(tmp_path):
    async def story(bench):
        task = bench.task(shell("echo up; while :; do sleep 0.05; done"))
        await bench.driver.start(task)
        io = ScriptedIO()
        argv = [
            "sh",
            "-c",
            "id -u; echo $KIT $MORE; echo complaint >&2; ls -d /local; grep CapEff /proc/self/status",
        ]
        result = await bench.driver.exec(task.id, argv, tty=False, io=io, env={"MORE": "more"})
        assert result.successful, io.stderr
        assert io.stdout.decode().split()[:4] == ["65534", "conformance", "more", "/local"]
        assert io.stdout.split()[-1] == b"0" * 16 and io.stderr == b"complaint\n"
        io = ScriptedIO(sizes=((33, 101),))
        argv = ["sh", "-c", "test -t 0 && test -t 1 && sleep 0.3 && stty size && exit 3"]
        result = await bench.driver.exec(task.id, argv, tty=True, io=io)
        assert result.exit_code == 3 and b"33 101" in io.stdout, io.stdout
        # a caller who goes away leaves nothing running inside
        with pytest.raises(TimeoutError):
            hold = ScriptedIO(hold=True)
            await asyncio.wait_for(bench.driver.exec(task.id, ["sleep", "7777"], tty=False, io=hold), 1)
        io = ScriptedIO()

        async def gone():
            io.stdout = b""
            await bench.driver.exec(task.id, ["sh", "-c", "cat /proc/[0-9]*/cmdline"], tty=False, io=io)
            return b"7777" not in io.stdout

        await eventually(gone, "the command inside is gone")
        await bench.driver.destroy(task.id)

    play(tmp_path, story)


def test_supervisor_killed_beneath_a_container(tmp_path):
    """The container runs on, its status and output arrive."""

    async def story(bench):
        task = bench.task(
            shell("trap 'echo end; exit 6' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done")
        )
        await bench.driver.start(task)
        for _ in range(3):
            await eventually(lambda: bench.log(task, "stdout"), "it writes")
            pid = bench.supervisor.pid
            os.kill(pid, signal.SIGKILL)
            await reconnected(bench.supervisor, pid)
        await bench.driver.stop(task.id, "SIGTERM", 10)
        result = await bench.driver.wait(task.id)
        assert (result.exit_code, result.error) == (6, "")
        await eventually(lambda: bench.log(task, "stdout").endswith(b"end\n"), "the last line")
        numbers = [int(line) for line in bench.log(task, "stdout").split()[:-1]]
        assert numbers == list(range(1, len(numbers) + 1))
        await bench.driver.destroy(task.id)

    play(tmp_path, story)


def test_supervisor_killed_while_the_runtime_starts(tmp_path):
    """At any moment of the launch: either it runs once and its status is told, or the start says that it failed."""

    async def story(bench):
        started = 0
        for turn in range(12):
            task = bench.task(shell("echo once; sleep 0.3; exit 7"))
            starting = asyncio.ensure_future(bench.driver.start(task))
            await asyncio.sleep(0.008 * turn)
            pid = bench.supervisor.pid
            os.kill(pid, signal.SIGKILL)
            try:
                await starting
            except DriverError:
                pass
            else:
                result = await asyncio.wait_for(bench.driver.wait(task.id), 30)
                if not result.error:
                    started += 1
                    assert result.exit_code == 7, result
                    await eventually(lambda task=task: bench.log(task, "stdout"), "it wrote")
                    assert bench.log(task, "stdout") == b"once\n"
            await reconnected(bench.supervisor, pid)
            await bench.driver.destroy(task.id)
            with pytest.raises(DriverError):
                await bench.supervisor.recover(task.id)
        assert started >= 6, "the status of a task that ran is known"

    play(tmp_path, story)


def test_undetected_with_the_reason(tmp_path, monkeypatch):
    async def story(bench):
        monkeypatch.setattr("plugins.exec_driver.runtime._RUNTIMES", ("no-such-runtime",))
        found = await bench.driver.fingerprint()
        assert found.health == "undetected" and "runc" in found.description
        assert found.attributes["driver.exec"] == ""
        with pytest.raises(DriverError, match="runc"):
            await bench.driver.start(bench.task(shell("true")))

    play(tmp_path, story)


@pytest.mark.skipif(not shutil.which("crun"), reason="crun is not installed")
def test_with_crun(tmp_path, monkeypatch):
    monkeypatch.setattr("plugins.exec_driver.runtime._RUNTIMES", ("crun",))

    async def story(bench):
        machine, _ = bench.supervisor.cgroups()
        if "unified" in machine.roots:
            found = await bench.driver.fingerprint()
            assert found.health == "undetected" and "hybrid" in found.description
            return
        assert (await bench.driver.fingerprint()).attributes["driver.exec.runtime"].startswith("crun")
        assert await output(bench, "id -un; echo $$") == "nobody\n1\n"
        task = bench.task(shell("exec sleep 1000"))
        await bench.driver.start(task)
        io = ScriptedIO(b"through crun")
        assert (await bench.driver.exec(task.id, ["cat"], tty=False, io=io)).successful
        assert io.stdout == b"through crun"
        info = await bench.supervisor.recover(task.id)
        await bench.driver.stop(task.id, "SIGTERM", 0.2)
        await is_dead(info.pid)
        await bench.driver.destroy(task.id)

    play(tmp_path, story)
