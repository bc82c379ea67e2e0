"""c1m: a million placements on 5,000 nodes, from the first Job.Register to the last commit, then reopened from disk.

Source: design/performance.md "c1m".
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

from daemon.consensus.shell import Log
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.policies import Constraint, EphemeralDisk, LogRotation
from daemon.model.resources import Resources
from tests.bench.cluster import make_node
from tests.bench.placing import (
    cluster,
    default_workers,
    longest_stall,
    placed,
    register_jobs,
    register_nodes,
    stats,
)
from tests.bench.report import Figure

NODES, CLASSES, JOBS, GROUPS, COUNT = 5_000, 5, 1_000, 5, 200


def make_job(number: int) -> Job:
    """One job: five groups, each for one class of nodes."""
    return Job(
        id=f"job-{number:04d}",
        task_groups=tuple(
            TaskGroup(
                name=f"group-{group}",
                count=COUNT,
                constraints=(Constraint(l_target="${node.class}", r_target=f"class-{group}"),),
                ephemeral_disk=EphemeralDisk(size_mb=10),
                tasks=(
                    Task(name="task", driver="mock_driver", config={"run_for": "1h"},
                         log_config=LogRotation(max_files=1, max_file_size_mb=1),
                         resources=Resources(cpu=20, memory_mb=15)),
                ),
            )
            for group in range(GROUPS)
        ),
    )  # fmt: skip


def run(scale: float) -> list[Figure]:
    """Measure."""
    return asyncio.run(measure(scale))


async def measure(scale: float) -> list[Figure]:
    """Register nodes, then measure the jobs; verify on disk at the end."""
    jobs = max(1, round(JOBS * scale))
    wanted = jobs * GROUPS * COUNT
    workers = default_workers()
    phases: dict[str, float] = {}
    async with cluster(workers) as running:
        client = running.client
        nodes = [
            make_node(n, classes=CLASSES, cpu=10_000, memory_mb=8_192, disk_mb=50_000) for n in range(NODES)
        ]
        start = time.monotonic()
        await register_nodes(client, nodes)
        phases["register nodes (s)"] = time.monotonic() - start
        start = time.monotonic()
        await register_jobs(client, [make_job(n) for n in range(jobs)])
        phases["jobs accepted (s)"] = time.monotonic() - start
        got = await placed(client, wanted, 600)
        seconds = time.monotonic() - start
        figures = await stats(client)
        phases["all placed (s)"] = seconds
        phases["server cpu (s)"] = float(figures["process"]["cpu_s"])  # type: ignore[arg-type]
        phases["longest stall of the loop (ms)"] = await longest_stall(client, start)
        phases["longest garbage collection (ms)"] = float(figures["gc"]["longest_ms"])  # type: ignore[arg-type]
        phases["plans"] = float(figures["evaluation"]["plans"])  # type: ignore[arg-type]
        phases["conflicts"] = float(figures["evaluation"]["conflicts"])  # type: ignore[arg-type]
        phases["worker memory (MB)"] = max(figures["evaluation"]["worker_memory_bytes"]) / 1e6  # type: ignore[call-overload]
        await running.stop()
        start = time.monotonic()
        await verify(running.directory, got)
        phases["reopen and verify (s)"] = time.monotonic() - start
    return [
        Figure(
            name="c1m",
            value=got / seconds,
            unit="placements/s",
            better="higher",
            includes=f"{jobs} Job.Register over ZeroMQ/TCP loopback, validation, evaluation by {workers} worker(s), "
            f"re-check, log with fsync, apply: {got:,} of {wanted:,} placements committed",
            leaves_out="node agents (nodes are records and send no heartbeats), task starts",
            phases=phases,
        )
    ]


async def verify(directory: Path, wanted: int) -> None:
    """Reopen the state from disk: all placements are there, and no node holds more than it has."""
    log = await Log.open(directory)
    try:
        per_node: Counter[str] = Counter()
        for alloc in log.state.allocs():
            per_node[alloc.node_id] += 1
        assert sum(per_node.values()) == wanted, (sum(per_node.values()), wanted)
        fullest = max(per_node.values(), default=0)
        assert fullest * 20 <= 10_000 and fullest * 15 <= 8_192, fullest
    finally:
        await log.close()
