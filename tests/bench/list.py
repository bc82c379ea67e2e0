"""list: 10,000 jobs and a million allocations in a server: its memory, pages, a snapshot, a restart from disk.

Twice: as they were placed, and after every node has reported its tasks running, which is what a cluster looks like.

Source: design/performance.md "list".
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from daemon.consensus.shell import Log
from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, TaskStateName
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.node import Node
from daemon.model.policies import EphemeralDisk, LogRotation
from daemon.model.resources import Resources
from daemon.model.tasks import TaskEvent, TaskState
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.client import Client
from tests.bench.cluster import Stalls, make_node
from tests.bench.placing import (
    Cluster,
    cluster,
    longest_stall,
    placed,
    register_jobs,
    register_nodes,
    stats,
    windowed,
)
from tests.bench.report import Figure

NODES, JOBS, COUNT = 5_000, 10_000, 100
PAGE = 1_000


def make_job(number: int) -> Job:
    """One job of a hundred allocations with a dynamic port each."""
    return Job(
        id=f"job-{number:05d}",
        task_groups=(
            TaskGroup(
                name="group",
                count=COUNT,
                ephemeral_disk=EphemeralDisk(size_mb=10),
                tasks=(
                    Task(name="task", driver="mock_driver", config={"run_for": "1h"},
                         log_config=LogRotation(max_files=1, max_file_size_mb=1),
                         resources=Resources(cpu=20, memory_mb=15)),
                ),
            ),
        ),
    )  # fmt: skip


def run(scale: float) -> list[Figure]:
    """Measure."""
    return asyncio.run(measure(scale))


async def measure(scale: float) -> list[Figure]:
    """Fill a server, look at it, have the nodes report, look again, restart."""
    jobs = max(1, round(JOBS * scale))
    async with cluster(1) as running:
        nodes = [make_node(n, classes=5, cpu=10_000, memory_mb=8_192, disk_mb=50_000) for n in range(NODES)]
        await register_nodes(running.client, nodes)
        empty_mb = running.memory_mb()
        await register_jobs(running.client, [make_job(n) for n in range(jobs)])
        got = await placed(running.client, jobs * COUNT, 900)
        await _quiet(running.client)
        placed_mb = running.memory_mb()
        phases = {"empty, with nodes (MB)": empty_mb}
        phases |= await _pages(running)
        reporting = time.monotonic()
        await _report_running(running.client, nodes)
        reports_s = time.monotonic() - reporting
        stalled = await longest_stall(running.client, reporting)
        await _quiet(running.client)
        running_mb = running.memory_mb()
        after = await _pages(running)
        restart = await _restart(running, got)
        await running.stop()
        stall_ms, taken_s = await _snapshot(running.directory)
    counts = f"{jobs:,} jobs, {got:,} allocations on {NODES:,} nodes"
    return [
        Figure(
            name="list",
            value=placed_mb,
            unit="MB",
            better="lower",
            includes=f"resident memory of the server's whole process: {counts}, as placed",
            leaves_out="the evaluation worker, a process of its own; node agents",
            phases=phases,
        ),
        Figure(
            name="list.running",
            value=running_mb,
            unit="MB",
            better="lower",
            includes=f"the same after every allocation was reported running, with three task events: {counts}",
            leaves_out="as above",
            phases=after | {"all reports (s)": reports_s, "longest stall meanwhile (ms)": stalled},
        ),
        Figure(
            name="list.restart",
            value=restart,
            unit="s",
            better="lower",
            includes=f"process start until it answers with all of it, interpreter and imports included: {counts}",
        ),
        Figure(
            name="list.snapshot",
            value=stall_ms,
            unit="ms",
            better="lower",
            includes=f"longest wait of the loop while a snapshot is taken, written and synced: {counts}",
            leaves_out="requests meanwhile: the log is opened in the process of the benchmark",
            phases={"the whole snapshot (s)": taken_s},
        ),
    ]


async def _quiet(client: Client) -> None:
    """Wait until no evaluation is ready or handed out."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        broker = (await stats(client))["broker"]
        if not broker["ready"] and not broker["outstanding"]:
            return
        await asyncio.sleep(0.05)


async def _median_ms(call: Callable[[], Awaitable[object]], repeats: int = 15) -> float:
    taken = []
    for _ in range(repeats):
        start = time.monotonic()
        await call()
        taken.append((time.monotonic() - start) * 1000)
    return statistics.median(taken)


async def _pages(running: Cluster) -> dict[str, float]:
    """Reads that people make."""
    client = running.client
    middle = m.JobListRequest(namespace="*", per_page=PAGE, next_token="default job-00000")
    nodes = m.Query(per_page=PAGE)
    allocs = m.AllocListRequest(per_page=PAGE)
    of_job = m.AllocListRequest(job="job-00000", per_page=PAGE)
    one = m.IdQuery(id="job-00000")
    return {
        "page of 1,000 jobs (ms)": await _median_ms(lambda: client.call(methods.JOB_LIST, middle)),
        "the same, server alone (ms)": await _server_ms(client, methods.JOB_LIST, middle),
        "page of 1,000 nodes (ms)": await _median_ms(lambda: client.call(methods.NODE_LIST, nodes)),
        "page of 1,000 allocs (ms)": await _median_ms(lambda: client.call(methods.ALLOC_LIST, allocs), 3),
        "one job (ms)": await _median_ms(lambda: client.call(methods.JOB_GET, one)),
        "allocations of one job (ms)": await _median_ms(lambda: client.call(methods.ALLOC_LIST, of_job)),
    }


async def _server_ms(client: Client, method: object, request: object, calls: int = 30) -> float:
    """Processor time that the server needs for one."""
    before = (await stats(client))["process"]["cpu_s"]
    for _ in range(calls):
        await client.call(method, request)  # type: ignore[arg-type]
    after = (await stats(client))["process"]["cpu_s"]
    return 1000 * (float(after) - float(before)) / calls  # type: ignore[arg-type]


async def _report_running(client: Client, nodes: list[Node]) -> None:
    """Every node reports all its allocations running, as its agent would: in one message."""

    async def report(node: Node) -> None:
        held = m.NodeAllocsRequest(node_id=node.id, secret_id=node.secret_id)
        ids = (await client.call(methods.NODE_ALLOCS, held, timeout_s=120)).allocs
        state = _task_state(time.time_ns())
        updates = tuple(
            Allocation(
                id=id_,
                name="j.g[0]",
                job_id="j",
                task_group="g",
                node_id=node.id,
                client_status=ClientStatus.RUNNING,
                task_states={"task": state},
            )
            for id_ in ids
        )
        request = m.NodeUpdateAllocRequest(node_id=node.id, secret_id=node.secret_id, updates=updates)
        if updates:
            await client.call(methods.NODE_UPDATE_ALLOC, request, timeout_s=300)

    await windowed(nodes, report)


def _task_state(now_ns: int) -> TaskState:
    said = (("Received", "Task received by the node"), ("Task Setup", "Building the task's directory"),
            ("Started", "Task started by the node"))  # fmt: skip
    return TaskState(
        state=TaskStateName.RUNNING,
        started_at_ns=now_ns,
        events=tuple(TaskEvent(type=kind, time_ns=now_ns, display_message=words) for kind, words in said),
    )


async def _snapshot(directory: Path) -> tuple[float, float]:
    """(longest stall in ms, seconds) of one snapshot."""
    log = await Log.open(directory)
    stalls = Stalls()
    watching = asyncio.create_task(stalls.watch())
    try:
        start = time.monotonic()
        await log.snapshot()
        return max(stall for _, stall in stalls.seconds), time.monotonic() - start
    finally:
        watching.cancel()
        await log.close()


async def _restart(running: Cluster, wanted: int) -> float:
    await running.stop()
    start = time.monotonic()
    await running.start(300)
    found = int((await stats(running.client))["state"]["allocations"])  # type: ignore[call-overload]
    assert found == wanted, (found, wanted)
    return time.monotonic() - start
