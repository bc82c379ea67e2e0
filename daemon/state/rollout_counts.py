"""RolloutDelta: what one entry does to the counters and clocks of deployments, written once at its end.

Theory: counters are counted, not computed, from what was really stored: one addition per block or changed row. The
clock of every group starts with the deployment's first placement; an allocation that becomes healthy moves the clock
of its group to the moment it was judged (never later than the entry's time, for a node's clock may be wrong) plus the
deadline. Deployments that are over take no update.
Pure.

Source: spec/scheduler.md 1.7, 6.7, 6.8.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from daemon.model.alloc import Allocation, AllocHealth
from daemon.model.deployment import Deployment, GroupDeployment
from daemon.model.enums import DeploymentStatus


@dataclass
class _Group:
    placed: int = 0
    healthy: int = 0
    unhealthy: int = 0
    canaries: list[str] = field(default_factory=list)
    #: when the last allocation became healthy.
    healthy_at_ns: int = 0


class RolloutDelta:
    """What to add, per deployment and group."""

    def __init__(self) -> None:
        self.added: dict[str, dict[str, _Group]] = {}

    def placed(self, deployment_id: str, group: str, count: int, canaries: Iterable[str] = ()) -> None:
        """Allocations joined a deployment."""
        found = self._group(deployment_id, group)
        found.placed += count
        found.canaries.extend(canaries)

    def new_row(self, alloc: Allocation) -> None:
        """One allocation was placed."""
        if alloc.deployment_id:
            canary = alloc.deployment_status is not None and alloc.deployment_status.canary
            self.placed(alloc.deployment_id, alloc.task_group, 1, (alloc.id,) if canary else ())
            self._judged(alloc, None)

    def changed_row(self, before: Allocation, after: Allocation) -> None:
        """One allocation changed: it joined a deployment, or its health did."""
        if not after.deployment_id:
            return
        if before.deployment_id != after.deployment_id:
            self.new_row(after)
        elif before.deployment_status is not after.deployment_status:
            self._judged(after, before.deployment_status)

    def _judged(self, alloc: Allocation, before: AllocHealth | None) -> None:
        was = before.healthy if before is not None else None
        health = alloc.deployment_status
        if health is None or health.healthy is None or health.healthy == was:
            return
        found = self._group(alloc.deployment_id, alloc.task_group)
        if health.healthy:
            found.healthy += 1
            found.unhealthy -= was is False
            found.healthy_at_ns = max(found.healthy_at_ns, health.timestamp_ns)
        else:
            found.unhealthy += 1
            found.healthy -= was is True

    def _group(self, deployment_id: str, group: str) -> _Group:
        groups = self.added.setdefault(deployment_id, {})
        found = groups.get(group)
        if found is None:
            found = groups[group] = _Group()
        return found


def counted(row: Deployment, added: dict[str, _Group], now_ns: int) -> Deployment:
    """The deployment with an entry's counts added and its clocks moved."""
    running = row.status == DeploymentStatus.RUNNING
    starts = running and any(group.placed for group in added.values())
    groups: dict[str, GroupDeployment] = {}
    for name, group in row.task_groups.items():
        found = added.get(name) or _Group()
        by_ns, deadline_ns = group.require_progress_by_ns, group.progress_deadline_ns
        if deadline_ns and running and found.healthy_at_ns:
            by_ns = max(by_ns, min(found.healthy_at_ns, now_ns) + deadline_ns)
        if deadline_ns and starts and not by_ns:
            by_ns = now_ns + deadline_ns
        known = set(group.placed_canaries)
        fresh = tuple(id_ for id_ in found.canaries if id_ not in known)
        groups[name] = replace(
            group,
            placed_allocs=group.placed_allocs + found.placed,
            healthy_allocs=max(0, group.healthy_allocs + found.healthy),
            unhealthy_allocs=max(0, group.unhealthy_allocs + found.unhealthy),
            placed_canaries=(*group.placed_canaries, *fresh),
            require_progress_by_ns=by_ns,
        )
    return replace(row, task_groups=groups)


def restarted(row: Deployment, now_ns: int, names: Iterable[str] | None = None) -> Deployment:
    """The deployment with the clocks of these groups (all, if None) begun anew; those that never ran stay so."""
    chosen = set(row.task_groups if names is None else names)
    begun = any(group.placed_allocs for group in row.task_groups.values())
    groups = {
        name: replace(group, require_progress_by_ns=now_ns + group.progress_deadline_ns)
        if name in chosen and begun and group.progress_deadline_ns
        else group
        for name, group in row.task_groups.items()
    }
    return replace(row, task_groups=groups)


def stopped(row: Deployment) -> Deployment:
    """The deployment with no clock running."""
    groups = {name: replace(group, require_progress_by_ns=0) for name, group in row.task_groups.items()}
    return replace(row, task_groups=groups)
