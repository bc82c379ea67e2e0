"""full: a cluster filled to the brim with a realistic mix, beside best-fit over all nodes and an exact bound.

The same asks, in the same order, go to the scheduler and to a plain best-fit that looks at every node. Asked for is
more than fits: what counts is how many get a place. Nobody can place more than the bound: for one resource alone, with
the room of all nodes in one piece, the most are placed when the smallest asks come first; the smallest of the bounds of
cpu, memory and disk is printed.

Source: design/performance.md "full".
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import msgspec
import numpy as np

from daemon.model.enums import NodeStatus
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.policies import EphemeralDisk, LogRotation
from daemon.model.resources import Resources
from daemon.simulate.world import World
from daemon.state.state import State
from tests.bench.cluster import make_node
from tests.bench.report import Figure

NODES, OVERFULL = 10_000, 1.08
#: cpu MHz, memory MB, disk MB of three kinds of machines.
MACHINES = ((16_000, 32_000, 200_000), (32_000, 128_000, 400_000), (64_000, 96_000, 400_000))
#: (weight, cpu, memory): many small asks, some that want cpu, some that want memory, few large ones.
ASKS = ((40, 200, 256), (25, 500, 1_024), (12, 2_000, 1_500), (12, 500, 6_000), (8, 4_000, 8_000),
        (3, 12_000, 24_000))  # fmt: skip


@dataclass(frozen=True)
class Ask:
    """One job: so many allocations of one size."""

    count: int
    cpu: int
    memory: int
    disk: int


def asks(nodes: int, source: random.Random) -> list[Ask]:
    """Jobs whose volume is somewhat more than the cluster has, in cpu or in memory."""
    room = [sum(MACHINES[n % 3][i] for n in range(nodes)) * OVERFULL for i in range(2)]
    found: list[Ask] = []
    while min(room) > 0:
        _, cpu, memory = source.choices(ASKS, [weight for weight, *_ in ASKS])[0]
        ask = Ask(
            count=source.randint(5, 200),
            cpu=round(cpu * source.uniform(0.7, 1.4)),
            memory=round(memory * source.uniform(0.7, 1.4)),
            disk=source.choice((50, 300, 1_000)),
        )
        found.append(ask)
        room = [room[0] - ask.count * ask.cpu, room[1] - ask.count * ask.memory]
    return found


def job_of(number: int, ask: Ask) -> Job:
    """The job of an ask. A hundred jobs and more: anti-affinity is as in life."""
    return Job(
        id=f"job-{number:05d}",
        task_groups=(
            TaskGroup(
                name="group",
                count=ask.count,
                ephemeral_disk=EphemeralDisk(size_mb=ask.disk),
                tasks=(
                    Task(name="task", driver="mock_driver", config={"run_for": "1h"},
                         log_config=LogRotation(max_files=1, max_file_size_mb=1),
                         resources=Resources(cpu=ask.cpu, memory_mb=ask.memory)),
                ),
            ),
        ),
    )  # fmt: skip


def best_fit(nodes: int, asked: list[Ask]) -> int:
    """Each allocation goes where least is left over, of all nodes that hold it; shares of cpu and memory added."""
    total = np.array([MACHINES[n % 3] for n in range(nodes)], dtype=np.float64).T
    free = total.copy()
    placed = 0
    for ask in asked:
        want = np.array([ask.cpu, ask.memory, ask.disk], dtype=np.float64)[:, None]
        fits = (free >= want).all(axis=0)
        left = np.where(fits, ((free[:2] - want[:2]) / total[:2]).sum(axis=0), np.inf)
        for _ in range(ask.count):
            node = int(left.argmin())
            if left[node] == np.inf:
                break
            free[:, node] -= want[:, 0]
            placed += 1
            ok = bool((free[:, node] >= want[:, 0]).all())
            left[node] = ((free[:2, node] - want[:2, 0]) / total[:2, node]).sum() if ok else np.inf
    return placed


def bound(nodes: int, asked: list[Ask]) -> int:
    """The smallest, over resources, of how many of the smallest asks fit into the volume of all nodes."""
    best = sum(ask.count for ask in asked)
    for i, name in enumerate(("cpu", "memory", "disk")):
        room = sum(MACHINES[n % 3][i] for n in range(nodes))
        count = 0
        for ask in sorted(asked, key=lambda ask: int(getattr(ask, name))):
            fits = min(ask.count, room // getattr(ask, name))
            count, room = count + fits, room - fits * getattr(ask, name)
            if fits < ask.count:
                break
        best = min(best, count)
    return best


def run(scale: float) -> list[Figure]:
    """Fill one cluster twice."""
    nodes = max(30, round(NODES * scale))
    asked = asks(nodes, random.Random(7))
    world = World(State())
    for n in range(nodes):
        cpu, memory, disk = MACHINES[n % 3]
        node = make_node(n, classes=5, cpu=cpu, memory_mb=memory, disk_mb=disk)
        world.add_nodes([msgspec.structs.replace(node, status=NodeStatus.READY)])
    keys = [world.register(job_of(number, ask)) for number, ask in enumerate(asked)]
    start = time.monotonic()
    world.settle(keys)
    seconds = time.monotonic() - start
    ours = world.state.alloc_count
    theirs, most = best_fit(nodes, asked), bound(nodes, asked)
    fleet = world.tracker.fleet
    used = (fleet.total[:2].sum(axis=1) / fleet.capacity[:2].sum(axis=1)).tolist()
    return [
        Figure(
            name="full",
            value=100 * ours / theirs,
            unit="% of best-fit",
            better="higher",
            includes=f"{sum(ask.count for ask in asked):,} allocations asked by {len(asked):,} jobs on {nodes:,} nodes "
            "of three kinds: how many get a place, the scheduler as it is",
            leaves_out="log, workers; constraints, ports; the bound ignores that a machine cannot be shared out",
            phases={
                "placed": float(ours),
                "placed by best-fit": float(theirs),
                "bound": float(most),
                "of the bound (%)": 100 * ours / most,
                "cpu in use (%)": 100 * used[0],
                "memory in use (%)": 100 * used[1],
                "scheduling (s)": seconds,
            },
        )
    ]
