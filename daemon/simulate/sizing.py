"""How many machines of which kind would make everything fit. Pure.

Theory: nothing is estimated: machines are added to a copy of the world and the scheduler places what was left over,
with all its rules, until nothing is missing or a further machine helps no more. Each step adds as many as the rest
would need if it filled them without a gap, one at first; what is left found no room on the machines before, so a
step adds none too many for the order in which the scheduler fills them. A cleverer order may need fewer.

Not here: prices.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.model.job import Job
from daemon.model.node import Node
from daemon.scheduler.usage import group_usage
from daemon.simulate.kinds import Kind
from daemon.simulate.report import Machines, Needed
from daemon.simulate.world import JobKey, World

Missing = dict[JobKey, dict[str, int]]
#: machines of one kind that are tried at most.
MACHINES_MAX = 20_000


def needed(world: World, kinds: Sequence[Kind]) -> Needed | None:
    """What to add to a settled world; None when nothing is missing or no kind is known."""
    if not world.missing or not kinds:
        return None
    options: list[Machines] = []
    tried = [_with_kind(world, kind, kind.count) for kind in kinds]
    options = [machines for machines, _ in tried if machines.count and not machines.left]
    if options:
        return Needed(options=tuple(sorted(options, key=_size)))
    return _mixed(world, kinds, tried)


def _mixed(world: World, kinds: Sequence[Kind], tried: list[tuple[Machines, World]]) -> Needed:
    """Kind after kind, each time the one that takes most of what is left."""
    mix: list[Machines] = []
    counts = {kind.name: kind.count for kind in kinds}
    while True:
        useful = [pair for pair in tried if pair[0].count]
        if not useful:
            break
        best, world = min(useful, key=lambda pair: (sum(pair[0].left.values()), _size(pair[0])))
        mix.append(best)
        counts[best.kind] += best.count
        if not world.missing:
            break
        tried = [_with_kind(world, kind, counts[kind.name]) for kind in kinds]
    return Needed(mix=tuple(mix), never=tuple(sorted(_named(world.missing))))


def _size(machines: Machines) -> tuple[int, int, str]:
    """The smaller amount of machine comes first."""
    return (machines.count * machines.cpu, machines.count * machines.memory_mb, machines.kind)


def _with_kind(world: World, kind: Kind, first: int) -> tuple[Machines, World]:
    """Add machines of one kind until all fits or one more is of no use."""
    world = world.copy()
    bound = world.node_bound()
    added: list[Node] = []
    helped: set[tuple[JobKey, str]] = set()
    while world.missing and len(added) < MACHINES_MAX:
        before = {key: dict(groups) for key, groups in world.missing.items()}
        step = max(1, min(_bound(world, kind, helped), MACHINES_MAX - len(added)))
        machines = kind.machines(first + len(added), step)
        world.add_nodes(machines)
        world.settle([*bound, *before])
        better = {
            (key, group)
            for key, groups in before.items()
            for group, count in groups.items()
            if world.missing.get(key, {}).get(group, 0) < count
        }
        if not better:
            world.forget_nodes(machines)
            break
        helped |= better
        added.extend(machines)
    total, kept = kind.template.node_resources, kind.template.reserved
    found = Machines(
        kind=kind.name,
        count=len(added),
        cpu=total.cpu_shares - kept.cpu_shares,
        memory_mb=total.memory_mb - kept.memory_mb,
        left=_named(world.missing),
    )
    return found, world


def _bound(world: World, kind: Kind, helped: set[tuple[JobKey, str]]) -> int:
    """Machines that the rest of the groups helped so far needs at the least, by its sheer volume."""
    total, kept = kind.template.node_resources, kind.template.reserved
    room = (
        total.cpu_shares - kept.cpu_shares,
        total.memory_mb - kept.memory_mb,
        total.disk_mb - kept.disk_mb,
    )
    asked = [0, 0, 0]
    for key, groups in world.missing.items():
        job = world.state.job(*key)
        for group, count in groups.items():
            if job is not None and (key, group) in helped:
                for i, amount in enumerate(_ask(job, group)):
                    asked[i] += amount * count
    return max(-(-ask // have) for ask, have in zip(asked, room, strict=True) if have > 0)


def _ask(job: Job, name: str) -> tuple[int, int, int]:
    group = job.group(name)
    if group is None:
        return (0, 0, 0)
    usage = group_usage(group)
    return (usage.cpu, usage.memory_mb, usage.disk_mb)


def _named(missing: Missing) -> dict[str, int]:
    return {
        f"{namespace}/{job_id}/{group}": count
        for (namespace, job_id), groups in sorted(missing.items())
        for group, count in sorted(groups.items())
    }
