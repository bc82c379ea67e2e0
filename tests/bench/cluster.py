"""A real server in a process of its own, with made-up nodes, for the placement benchmarks.

`python -m tests.bench.cluster DATA_DIR PORT WORKERS` serves until it is told to stop (SIGTERM).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections import deque
from pathlib import Path

import msgspec

from daemon.model.node import DriverInfo, Node, NodeNetwork, NodeResources
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.address import parse_address
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.listener import Listener
from daemon.server.server import Server, ServerConfig


def make_node(number: int, *, classes: int, cpu: int, memory_mb: int, disk_mb: int) -> Node:
    """Node `number` of the made-up fleet."""
    name = f"node-{number:05d}"
    return Node(
        id=f"{number:08x}-0000-4000-8000-{number:012x}",
        secret_id=f"secret-{number}",
        name=name,
        datacenter="dc1",
        node_class=f"class-{number % classes}",
        attributes={"kernel.name": "linux", "cpu.arch": "amd64", "unique.hostname": name},
        meta={"rack": f"r{number % 50}"},
        drivers={"mock_driver": DriverInfo(detected=True, healthy=True)},
        node_resources=NodeResources(
            cpu_shares=cpu,
            total_cores=cpu // 2500,
            memory_mb=memory_mb,
            disk_mb=disk_mb,
            networks=(
                NodeNetwork(device="eth0", ip=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"),
            ),
        ),
    )


def _cpu_s(pid: int) -> float:
    """Processor time that a process has used, by the kernel's ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stalls:
    """How long the loop kept others waiting: looked at every few milliseconds, the worst of each kept second."""

    EVERY_S = 0.005
    KEPT = 900

    def __init__(self) -> None:
        #: (whole second of the monotonic clock, longest stall in it in ms).
        self.seconds: deque[tuple[int, float]] = deque(maxlen=self.KEPT)

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(self.EVERY_S)
            now = time.monotonic()
            late_ms = (now - before - self.EVERY_S) * 1000
            if self.seconds and self.seconds[-1][0] == int(now):
                self.seconds[-1] = (int(now), max(late_ms, self.seconds[-1][1]))
            else:
                self.seconds.append((int(now), late_ms))


class Pauses:
    """The longest pause of the garbage collector, in ms, and how many there were."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self.count = 0
        self._since = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._since = time.perf_counter()
        else:
            self.count += 1
            self.longest_ms = max(self.longest_ms, (time.perf_counter() - self._since) * 1000)


async def serve(data_dir: Path, port: int, workers: int) -> None:
    """Serve the server role on loopback. Heartbeats are not judged: nobody beats for these nodes."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(ServerConfig(data_dir=data_dir, workers=workers, hang_s=120.0))
    server.heartbeats.expiry_s = 1e9
    dispatcher = Dispatcher()
    await server.start(dispatcher)

    async def describe(request: m.Query, caller: Caller) -> m.AgentSelfResponse:
        stats = server.stats()
        workers = sum(_cpu_s(worker.process.pid) for worker in server.evaluation.pool.workers.values())
        stats["process"] = {"cpu_s": time.process_time(), "workers_cpu_s": workers}
        stats["stalls"] = {"seconds": list(stalls.seconds)}
        stats["gc"] = {"longest_ms": pauses.longest_ms, "count": pauses.count}
        return m.AgentSelfResponse(stats=msgspec.to_builtins(stats))

    dispatcher.serve(methods.AGENT_SELF, describe)
    listener = Listener(dispatcher)
    server.address = await listener.start(parse_address(f"127.0.0.1:{port}"))
    print(f"listening {server.address}", flush=True)
    stalls, pauses = Stalls(), Pauses()
    watching = asyncio.create_task(stalls.watch())
    await stop.wait()
    watching.cancel()
    await listener.close()
    await server.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
