"""What c1m and small share: start the server, register nodes, submit jobs, wait for the last placement."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from daemon.model.job import Job
from daemon.model.node import Node
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.address import parse_address
from daemon.rpc.client import Client

#: requests that the loader keeps under way at once.
WINDOW = 64


class Cluster:
    """A server process on a directory of its own, and a connection to it."""

    def __init__(self, directory: Path, workers: int) -> None:
        self.directory = directory
        self.workers = workers
        self.client: Client
        self.process: asyncio.subprocess.Process

    async def start(self, limit_s: float = 60) -> None:
        """Start the process and connect."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench.cluster",
            str(self.directory),
            "0",
            str(self.workers),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.process.stdout is not None
        line = (await asyncio.wait_for(self.process.stdout.readline(), limit_s)).decode()
        self.client = Client(parse_address(line.split()[1]))
        await self.client.start()

    async def stop(self) -> None:
        """Stop the server; the directory stays for a look."""
        if hasattr(self, "client"):
            await self.client.close()
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self.process.wait(), 120)

    def memory_mb(self) -> float:
        """Resident memory of the server's process now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1000
        return 0.0


@asynccontextmanager
async def cluster(workers: int) -> AsyncIterator[Cluster]:
    """Start one; afterwards it is stopped and its directory removed."""
    with tempfile.TemporaryDirectory(prefix="encamp-bench-") as directory:
        running = Cluster(Path(directory), workers)
        try:
            await running.start()
            yield running
            await running.stop()
        finally:
            if running.process.returncode is None:
                running.process.kill()
                await running.process.wait()


async def windowed(calls: Sequence[object], send: object) -> None:
    """Run `send(call)` for all calls, WINDOW at a time."""
    queue = iter(calls)

    async def runner() -> None:
        for call in queue:
            await send(call)  # type: ignore[operator]

    await asyncio.gather(*(runner() for _ in range(WINDOW)))


async def register_nodes(client: Client, nodes: Sequence[Node]) -> None:
    """Register all nodes."""

    async def send(node: Node) -> None:
        await client.call(methods.NODE_REGISTER, m.NodeRegisterRequest(node=node), timeout_s=120)

    await windowed(nodes, send)


async def register_jobs(client: Client, jobs: Sequence[Job]) -> None:
    """Register all jobs."""

    async def send(job: Job) -> None:
        await client.call(methods.JOB_REGISTER, m.JobRegisterRequest(job=job), timeout_s=300)

    await windowed(jobs, send)


async def stats(client: Client) -> dict[str, dict[str, object]]:
    """The server's figures."""
    return (await client.call(methods.AGENT_SELF, m.Query(), timeout_s=60)).stats


async def placed(client: Client, count: int, limit_s: float) -> int:
    """Wait until `count` allocations are committed; returns how many are."""
    until = time.monotonic() + limit_s
    seen = -1
    while time.monotonic() < until:
        figures = await stats(client)
        now = int(figures["state"]["allocations"])  # type: ignore[call-overload]
        if now >= count:
            return now
        seen = now
        await asyncio.sleep(0.02)
    return seen


def default_workers() -> int:
    """As an agent has: cores - 1, at least 1."""
    return max(1, (os.cpu_count() or 2) - 1)


async def longest_stall(client: Client, since_s: float) -> float:
    """Longest wait of the server's loop since then (monotonic), in ms."""
    found = (await stats(client))["stalls"]["seconds"]
    return max((stall for second, stall in found if second >= int(since_s)), default=0.0)  # type: ignore[attr-defined]
