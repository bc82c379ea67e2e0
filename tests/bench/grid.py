"""grid: the reference's 120 cells, each one whole evaluation of a fresh job, with and without an even spread on rack.

Theory: what is timed is what its benchmark times: reconciling from nothing, placing everything, the plan built; the
plan is not applied, so that every cell starts from an empty fleet. A scheduler's process keeps its columns from one
evaluation to the next, and so do these: the first evaluation of a fleet is shown on its own.

Non-goals: the server around it (broker, plan check, log, network); `c1m` and `small` measure those.

Source: spec/scheduler.md 12; design/performance.md "grid".
"""

from __future__ import annotations

import time

from daemon.model.enums import NodeStatus, Trigger
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.node import DriverInfo, Node, NodeReserved, NodeResources
from daemon.model.plan import EvalInput
from daemon.model.policies import Constraint, EphemeralDisk, Spread
from daemon.model.resources import Resources
from daemon.scheduler.schedule import schedule
from daemon.state.fleet import Fleet
from daemon.state.tracker import FleetTracker
from tests.bench.report import Figure

NODES = (500, 1000, 5000, 10_000)
RACKS = (25, 50, 75)
COUNTS = (50, 300, 600, 900, 1200)
REPEATS = 3
AIM_MS = 20.0


def make_node(number: int, racks: int) -> Node:
    """One machine of the reference's benchmark."""
    return Node(
        id=f"node-{number}",
        name=f"n{number}",
        datacenter=f"dc-{number % 2 + 1}",
        computed_class=f"v1:{number % 2}:{number % racks}",
        status=NodeStatus.READY,
        epoch=1,
        attributes={"consul.version": "1.11.3", "kernel.name": "linux"},
        meta={"rack": f"r{number % racks}"},
        drivers={"mock_driver": DriverInfo(detected=True, healthy=True)},
        node_resources=NodeResources(cpu_shares=14_000, memory_mb=32_000, disk_mb=102_400),
        reserved=NodeReserved(cpu_shares=100, memory_mb=256, disk_mb=4096),
    )


def make_job(racks: int, count: int, spread: bool) -> Job:
    """Its job: half of the racks, two version constraints, 6 GHz and 6 GB each."""
    allowed = ",".join(f"r{rack}" for rack in range(racks // 2))
    version = "${attr.consul.version}"
    task = Task(name="t", driver="mock_driver", resources=Resources(cpu=6000, memory_mb=6000))
    group = TaskGroup(name="g", count=count, tasks=(task,), ephemeral_disk=EphemeralDisk(size_mb=150))
    return Job(
        id="grid",
        name="grid",
        datacenters=("dc-1", "dc-2"),
        constraints=(
            Constraint(l_target="${meta.rack}", operand="set_contains_any", r_target=allowed),
            Constraint(l_target=version, operand="semver", r_target=">= 1.7.0"),
            Constraint(l_target=version, operand="semver", r_target="< 2.0.0"),
        ),
        spreads=(Spread(attribute="${meta.rack}"),) if spread else (),
        task_groups=(group,),
        job_modify_index=10,
    )


def make_fleet(nodes: int, racks: int) -> Fleet:
    """The machines as a worker has them."""
    tracker = FleetTracker()
    tracker.rebuild(1, (make_node(number, racks) for number in range(nodes)), ())
    return tracker.fleet


def evaluate(job: Job, fleet: Fleet, seed: int) -> tuple[float, int]:
    """Milliseconds and placements of one evaluation."""
    evaluation = Evaluation(id=f"e-{seed}", job_id=job.id, type="service", triggered_by=Trigger.JOB_REGISTER)
    start = time.perf_counter()
    attempt = schedule(EvalInput(evaluation=evaluation, job=job, seed=seed), fleet)
    return 1000 * (time.perf_counter() - start), attempt.plan.placements


def run(scale: float) -> list[Figure]:
    """Measure all cells; below full scale only the smaller fleets."""
    sizes = [nodes for nodes in NODES if nodes <= NODES[-1] * scale] or [NODES[0]]
    cells: dict[str, float] = {}
    placed = first = 0.0
    print("best of 3, ms; columns: allocations\n  nodes racks spread" + "".join(f"{n:>8}" for n in COUNTS))
    for nodes in sizes:
        for racks in RACKS:
            fleet = make_fleet(nodes, racks)
            first = max(first, evaluate(make_job(racks, COUNTS[0], True), fleet, 99)[0])
            for spread in (False, True):
                row = []
                for count in COUNTS:
                    job = make_job(racks, count, spread)
                    runs = [evaluate(job, fleet, seed) for seed in range(REPEATS)]
                    row.append(min(ms for ms, _ in runs))
                    placed += runs[0][1]
                    word = "with" if spread else "without"
                    cells[f"{nodes} nodes, {racks} racks, {count} allocations, {word} spread"] = row[-1]
                told = "  even" if spread else "     -"
                print(f"{nodes:>7} {racks:>5} {told}" + "".join(f"{ms:8.2f}" for ms in row), flush=True)
    worst = max(cells, key=lambda cell: cells[cell])
    return [
        Figure(
            name="grid",
            value=cells[worst],
            unit=f"ms ({worst})",
            better="lower",
            includes=f"the slowest of {len(cells)} cells (aim: under {AIM_MS:.0f} ms): reconciling from nothing, "
            f"placing, the plan built; {placed:,.0f} placements in one round over the cells",
            leaves_out="broker, plan check, log, network; making the fleet and the job",
            phases={"first evaluation of a fleet (ms), worst": first},
            repeats=list(cells.values()),
        )
    ]
