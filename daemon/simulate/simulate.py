"""simulate: (world, jobs, what is lost) -> report. The one entry. Pure.

Theory: first the jobs, each as `job run` would do it; then the loss, as if heartbeats had stopped; after each of the
two it is said where everything is, why something has no node, and which machines would change that.

Source: users/wants.md 1; spec/scheduler.md 3, 6.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.model.alloc import Allocation
from daemon.model.enums import JobType
from daemon.model.job import Job, TaskGroup
from daemon.model.metrics import AllocMetric
from daemon.model.node import Node
from daemon.model.plan import GroupAnnotation
from daemon.scheduler.explain import explain_metric
from daemon.simulate.kinds import Kind, value_of
from daemon.simulate.report import GroupResult, Loss, Move, NodeUse, Placement, Report
from daemon.simulate.selection import selected
from daemon.simulate.sizing import needed
from daemon.simulate.world import JobKey, World

_NODE_BOUND = (JobType.SYSTEM, JobType.SYSBATCH)


def simulate(
    world: World,
    jobs: Sequence[Job],
    *,
    lose: Sequence[str] = (),
    kinds: Sequence[Kind] = (),
    by: str = "node",
) -> Report:
    """Place the jobs, lose nodes, and tell. `by`: what the picture groups nodes by; `kinds`: what may be added.

    Raises: InvalidInput, for what `lose` does not find; EncampError, when the servers would refuse a job.
    """
    lost = _lost(world, lose)
    before = {alloc.id for alloc in world.state.allocs()}
    keys = [world.register(job) for job in jobs]
    world.settle(keys)
    groups = _groups(world, keys, before)
    usage = _usage(world, by)
    missing = needed(world, kinds)
    loss = _lose(world, lost, lose, kinds, by) if lost else None
    return Report(
        fits=not any(group.missing for group in (*groups, *(loss.groups if loss else ()))),
        seed=world.seed,
        evaluations=world.evaluations,
        groups=groups,
        usage=usage,
        needed=missing,
        loss=loss,
    )


def _lost(world: World, lose: Sequence[str]) -> list[Node]:
    found: dict[str, Node] = {}
    for text in lose:
        found.update({node.id: node for node in selected(world.state.nodes(), text)})
    return list(found.values())


def _groups(world: World, keys: Sequence[JobKey], before: set[str]) -> tuple[GroupResult, ...]:
    """The groups of these jobs, and of others that lost work to them."""
    seen = [*keys, *(key for key in sorted(world.done) if key not in set(keys))]
    return tuple(
        _group(world, job, group, before)
        for key in seen
        if (job := world.state.job(*key)) is not None
        for group in job.task_groups
    )


def _group(world: World, job: Job, group: TaskGroup, before: set[str]) -> GroupResult:
    live = sorted(
        (alloc for alloc in world.state.allocs_by_job(*job.key) if _lives(alloc, group.name)),
        key=lambda alloc: (alloc.index, alloc.node_name, alloc.id),
    )
    metric = world.failed.get(job.key, {}).get(group.name)
    missing = world.missing.get(job.key, {}).get(group.name, 0)
    return GroupResult(
        namespace=job.namespace,
        job_id=job.id,
        group=group.name,
        type=job.type.value,
        wanted=len(live) + missing if job.type in _NODE_BOUND else group.count,
        placed=len(live),
        missing=missing,
        reasons=tuple(_reasons(job, metric)),
        annotation=world.done.get(job.key, {}).get(group.name, GroupAnnotation()),
        scores=metric.score_meta_data if metric else (),
        placements=tuple(
            Placement(
                name=alloc.name,
                node_id=alloc.node_id,
                node_name=alloc.node_name,
                fresh=alloc.id not in before,
            )
            for alloc in live
        ),
    )


def _reasons(job: Job, metric: AllocMetric | None) -> list[str]:
    return [] if metric is None else explain_metric(job, metric)


def _lives(alloc: Allocation, group: str) -> bool:
    return alloc.task_group == group and not alloc.terminal


def _usage(world: World, by: str) -> tuple[NodeUse, ...]:
    fleet = world.tracker.fleet
    found = []
    for node in sorted(world.state.nodes(), key=lambda node: (node.name, node.id)):
        row = fleet.row_of[node.id]
        cpu, memory, disk, _ = fleet.capacity[:, row].tolist()
        used = fleet.total[:, row].tolist()
        found.append(
            NodeUse(
                id=node.id,
                name=node.name,
                datacenter=node.datacenter,
                node_class=node.node_class,
                status=node.status.value,
                place=value_of(node, by) or "",
                cpu=cpu,
                cpu_used=used[0],
                memory_mb=memory,
                memory_used_mb=used[1],
                disk_mb=disk,
                disk_used_mb=used[2],
                allocations=used[3],
            )
        )
    return tuple(found)


def _lose(world: World, lost: list[Node], words: Sequence[str], kinds: Sequence[Kind], by: str) -> Loss:
    before = {alloc.id for alloc in world.state.allocs()}
    victims = [alloc for node in lost for alloc in world.state.allocs_by_node(node.id) if not alloc.terminal]
    world.done.clear()
    world.fail(node.id for node in lost)
    keys = list(dict.fromkeys((alloc.namespace, alloc.job_id) for alloc in victims))
    world.settle([*keys, *world.missing])
    return Loss(
        lost=tuple(words),
        nodes=tuple(node.name or node.id for node in lost),
        moves=tuple(_moves(world, victims, before)),
        groups=_groups(world, keys, before),
        usage=_usage(world, by),
        needed=needed(world, kinds),
    )


def _moves(world: World, victims: list[Allocation], before: set[str]) -> list[Move]:
    """One line for each allocation of a lost node; names that repeat are paired in order."""
    fresh: dict[tuple[str, str, str], list[Allocation]] = {}
    jobs = dict.fromkeys((alloc.namespace, alloc.job_id) for alloc in victims)
    for key in jobs:
        for alloc in world.state.allocs_by_job(*key):
            if alloc.id not in before and not alloc.terminal:
                fresh.setdefault((*key, alloc.name), []).append(alloc)
    moves = []
    for victim in sorted(victims, key=lambda alloc: (alloc.namespace, alloc.job_id, alloc.name, alloc.id)):
        key = (victim.namespace, victim.job_id)
        there = fresh.get((*key, victim.name), [])
        to_name = there.pop(0).node_name if there else ""
        moves.append(
            Move(
                namespace=victim.namespace,
                job_id=victim.job_id,
                name=victim.name,
                from_name=victim.node_name,
                to_name=to_name,
                note="" if to_name else _why_gone(world, victim),
            )
        )
    return moves


def _why_gone(world: World, victim: Allocation) -> str:
    job = world.state.job(victim.namespace, victim.job_id)
    if job is not None and job.type in _NODE_BOUND:
        return "bound to its node"
    if world.missing.get((victim.namespace, victim.job_id), {}).get(victim.task_group):
        return "no node has room for it"
    return "its job does not replace it"
