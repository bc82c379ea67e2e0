"""Helpers for tests of the supervisor: a client that cleans up, and a check that nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from pathlib import Path

from plugins.cgroups.layout import Limits, plan
from plugins.kit import eventually
from plugins.supervisor.client import SupervisorClient
from plugins.supervisor.kernel import all_stats, read_stat
from plugins.supervisor.types import LogTarget, ProcessSpec, cgroup_parent_of, key_of

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def spec_of(root: Path, task_id: str, script: str, *, cgroup: bool = True, **changes) -> ProcessSpec:
    """A shell script as a task, with logs in ROOT/logs, in cgroups where the machine has them."""
    (root / "logs").mkdir(exist_ok=True)
    machine, _ = SupervisorClient.cgroups()
    layout = None
    if cgroup and machine is not None:
        layout = plan(machine, cgroup_parent_of(root / "sup"), key_of(task_id), Limits(cpu_shares=100))
    values = {
        "id": task_id,
        "argv": ["/bin/sh", "-c", script],
        "env": {"PATH": PATH, "ROOT": str(root / "sup")},
        "cwd": "/",
        "cgroup": layout,
        "join": layout["dirs"] if layout else [],
        "logs": LogTarget(
            dir=str(root / "logs"), name=task_id.replace("/", "-"), files_max=1000, file_max_bytes=2**20
        ),
    }
    return ProcessSpec(**{**values, **changes})


def log_of(root: Path, task_id: str, stream: str = "stdout") -> bytes:
    """All of one stream's log files, in order."""
    prefix = f"{task_id.replace('/', '-')}.{stream}."
    names = [name for name in os.listdir(root / "logs") if name.startswith(prefix)]
    return b"".join(
        (root / "logs" / name).read_bytes() for name in sorted(names, key=lambda n: int(n.rpartition(".")[2]))
    )


def processes_of(root: Path) -> list[int]:
    """Every living process that belongs to the supervisor of ROOT/sup, it included."""
    marks = (str(root / "sup").encode(), cgroup_parent_of(root / "sup").encode())
    found = []
    for info in all_stats():
        if info.pid == os.getpid() or info.state in "ZX":
            continue
        with contextlib.suppress(OSError):
            text = b"".join(
                Path(f"/proc/{info.pid}/{name}").read_bytes() for name in ("cmdline", "environ", "cgroup")
            )
            if any(mark in text for mark in marks):
                found.append(info.pid)
    return found


def cgroups_of(root: Path) -> list[str]:
    """Every cgroup of the supervisor of ROOT/sup."""
    name = cgroup_parent_of(root / "sup")
    return [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{name}")] + [
        str(path) for path in Path("/sys/fs/cgroup").glob(name)
    ]


def fifos_of(root: Path) -> list[str]:
    """Every FIFO below ROOT/sup."""
    return [str(path) for path in (root / "sup").rglob("*") if stat.S_ISFIFO(path.lstat().st_mode)]


async def assert_nothing_left(root: Path) -> None:
    """After the supervisor was shut down: no process, no cgroup, no FIFO, no zombie of ours."""
    await eventually(lambda: not processes_of(root), "all processes are gone")
    assert cgroups_of(root) == []
    assert fifos_of(root) == []


def descriptors() -> set[str]:
    """What this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(name + " " + os.readlink(f"/proc/self/fd/{name}"))
    return found


@contextlib.asynccontextmanager
async def supervised(root: Path, *, clean: bool = True):
    """A client for ROOT/sup; at the end all tasks are destroyed and nothing may be left."""
    client = await SupervisorClient.ensure(root / "sup")
    try:
        yield client
    finally:
        for info in await client.list():
            await client.destroy(info.id)
        await client.shutdown(force=True)
        if clean:
            await assert_nothing_left(root)


async def is_dead(pid: int) -> None:
    """Wait until a process has ended (a zombie counts)."""
    await eventually(lambda: (s := read_stat(pid)) is None or s.state in "ZX", f"process {pid} ends")


async def reconnected(client: SupervisorClient, old_pid: int) -> None:
    """Wait until the client has a new supervisor."""
    await eventually(lambda: client.pid != old_pid and not client.problem, "a new supervisor is there")
    await asyncio.wait_for(client.list(), 10)
