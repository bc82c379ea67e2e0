"""Scheduler alone, no plan committed: placements/s for large jobs, evaluations/s for small ones.

Run: `python contrib/sched_bench.py [c1m|small]` (the grid is `make bench NAME=grid`). One process; includes
reconciling, placing and building the plan, leaves out state, log, network and the plan check.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable

from daemon.model.enums import NodeStatus, Trigger
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.node import DriverInfo, Node, NodeReserved, NodeResources
from daemon.model.plan import EvalInput
from daemon.model.policies import Constraint, EphemeralDisk
from daemon.model.resources import Resources
from daemon.scheduler.schedule import schedule
from daemon.state.fleet import Fleet
from daemon.state.tracker import FleetTracker


def node(i: int, racks: int, classes: int) -> Node:
    """A node of the reference's benchmark."""
    return Node(
        id=f"node-{i}",
        name=f"n{i}",
        datacenter=f"dc-{i % 2 + 1}",
        node_class=f"class-{i % classes}",
        computed_class=f"v1:{i % 2}:{i % racks}:{i % classes}",
        status=NodeStatus.READY,
        epoch=1,
        attributes={"consul.version": "1.11.3", "kernel.name": "linux", "cpu.arch": "amd64"},
        meta={"rack": f"r{i % racks}"},
        drivers={"mock_driver": DriverInfo(detected=True, healthy=True)},
        node_resources=NodeResources(cpu_shares=14000, memory_mb=32000, disk_mb=102400),
        reserved=NodeReserved(cpu_shares=100, memory_mb=256, disk_mb=4096),
    )


def group(name: str, count: int, cpu: int, memory: int, constraints: Iterable[Constraint] = ()) -> TaskGroup:
    """A group of one task."""
    task = Task(name="t", driver="mock_driver", resources=Resources(cpu=cpu, memory_mb=memory))
    disk = EphemeralDisk(size_mb=150)
    return TaskGroup(
        name=name, count=count, tasks=(task,), ephemeral_disk=disk, constraints=tuple(constraints)
    )


def job(name: str, groups: Iterable[TaskGroup], constraints: Iterable[Constraint] = ()) -> Job:
    """A service job."""
    return Job(
        id=name,
        name=name,
        datacenters=("dc-1", "dc-2"),
        task_groups=tuple(groups),
        constraints=tuple(constraints),
        job_modify_index=10,
    )


def fleet(count: int, racks: int = 50, classes: int = 5) -> Fleet:
    """Nodes as a worker would have them."""
    tracker = FleetTracker()
    tracker.rebuild(1, (node(i, racks, classes) for i in range(count)), ())
    return tracker.fleet


def one(job_: Job, fleet_: Fleet, seed: int, reserve: bool) -> tuple[float, int]:
    """Seconds and placements of one evaluation."""
    evaluation = Evaluation(id=f"e-{seed}", job_id=job_.id, type="service", triggered_by=Trigger.JOB_REGISTER)
    start = time.perf_counter()
    attempt = schedule(EvalInput(evaluation=evaluation, job=job_, seed=seed), fleet_)
    if reserve:
        fleet_.reserve(attempt.plan)
    return time.perf_counter() - start, attempt.plan.placements


def c1m() -> None:
    """5,000 nodes in 5 classes; jobs of 5 groups x 200, each group bound to one class; plans reserved."""
    fleet_ = fleet(5000)
    total, placed, jobs = 0.0, 0, 100
    for i in range(jobs):
        groups = [
            group(f"g{k}", 200, 60, 120, [Constraint(l_target="${node.class}", r_target=f"class-{k}")])
            for k in range(5)
        ]
        seconds, count = one(job(f"job-{i}", groups), fleet_, i, True)
        total += seconds
        placed += count
    print(f"c1m: {placed / total:,.0f} placements/s, {1000 * total / jobs:.2f} ms a job of 1,000 in 5 groups")


def small() -> None:
    """10,000 nodes; jobs of 1-10 allocations, a third of them with a constraint; plans reserved."""
    fleet_ = fleet(10_000)
    total, placed, jobs = 0.0, 0, 1000
    for i in range(jobs):
        rules = [Constraint(l_target="${meta.rack}", r_target=f"r{i % 50}")] if i % 3 == 0 else []
        seconds, count = one(job(f"job-{i}", [group("g", i % 10 + 1, 100, 128, rules)]), fleet_, i, True)
        total += seconds
        placed += count
    print(f"small: {jobs / total:,.0f} evaluations/s, {placed / total:,.0f} placements/s")


BENCHES: dict[str, Callable[[], None]] = {"c1m": c1m, "small": small}

if __name__ == "__main__":
    for name in sys.argv[1:] or list(BENCHES):
        BENCHES[name]()
