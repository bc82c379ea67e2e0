"""small: many little jobs on 10,000 nodes; evaluations per second and worker.

Source: design/performance.md "small".
"""

from __future__ import annotations

import asyncio
import random
import time

from daemon.model.job import Job, Task, TaskGroup
from daemon.model.policies import Affinity, Constraint, EphemeralDisk, LogRotation, Spread
from daemon.model.resources import Resources
from tests.bench.cluster import make_node
from tests.bench.placing import cluster, default_workers, placed, register_jobs, register_nodes, stats
from tests.bench.report import Figure

NODES, JOBS = 10_000, 20_000


def make_job(number: int, source: random.Random) -> Job:
    """A job of 1-10 allocations; a third of them bears a constraint, a spread or an affinity, in turn."""
    rack, kind = "${meta.rack}", number % 9
    constraints = (Constraint(l_target=rack, r_target=f"r{number % 50}"),) if kind == 0 else ()
    spreads = (Spread(attribute=rack),) if kind == 3 else ()
    affinities = (Affinity(l_target=rack, r_target=f"r{number % 50}"),) if kind == 6 else ()
    return Job(
        id=f"job-{number:05d}",
        task_groups=(
            TaskGroup(
                name="group",
                count=source.randint(1, 10),
                constraints=constraints,
                spreads=spreads,
                affinities=affinities,
                ephemeral_disk=EphemeralDisk(size_mb=10),
                tasks=(
                    Task(
                        name="task",
                        driver="mock_driver",
                        config={"run_for": "1h"},
                        log_config=LogRotation(max_files=1, max_file_size_mb=1),
                        resources=Resources(
                            cpu=source.choice((50, 100, 200)), memory_mb=source.choice((64, 128, 256))
                        ),
                    ),
                ),
            ),
        ),
    )


def run(scale: float) -> list[Figure]:
    """Measure."""
    return asyncio.run(measure(scale))


async def measure(scale: float) -> list[Figure]:
    """Register nodes, then measure the jobs."""
    source = random.Random(1)
    jobs = [make_job(number, source) for number in range(max(1, round(JOBS * scale)))]
    wanted = sum(group.count for job in jobs for group in job.task_groups)
    workers = default_workers()
    phases: dict[str, float] = {}
    async with cluster(workers) as running:
        client = running.client
        nodes = [make_node(n, classes=5, cpu=14_000, memory_mb=32_000, disk_mb=100_000) for n in range(NODES)]
        start = time.monotonic()
        await register_nodes(client, nodes)
        phases["register nodes (s)"] = time.monotonic() - start
        before = (await stats(client))["process"]
        mine = time.process_time()
        start = time.monotonic()
        await register_jobs(client, jobs)
        phases["jobs accepted (s)"] = time.monotonic() - start
        got = await placed(client, wanted, 600)
        seconds = time.monotonic() - start
        figures = await stats(client)
        phases["all placed (s)"] = seconds
        phases["placements"] = float(got)
        after = figures["process"]
        phases["server cpu (s)"] = float(after["cpu_s"]) - float(before["cpu_s"])  # type: ignore[arg-type]
        used = float(after["workers_cpu_s"]) - float(before["workers_cpu_s"])  # type: ignore[arg-type]
        phases["workers cpu (s)"] = used
        phases["loader cpu (s)"] = time.process_time() - mine
        phases["conflicts"] = float(figures["evaluation"]["conflicts"])  # type: ignore[arg-type]
    return [
        Figure(
            name="small",
            value=len(jobs) / seconds / workers,
            unit="evaluations/s per worker",
            better="higher",
            includes=f"{len(jobs)} Job.Register over ZeroMQ, evaluation, re-check, log with fsync, apply; "
            f"{got:,} of {wanted:,} placements; a third of the jobs with a constraint, an even spread or an affinity",
            leaves_out="node agents, task starts",
            phases=phases,
        )
    ]
