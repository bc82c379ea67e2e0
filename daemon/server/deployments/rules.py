"""What is to be done about one deployment now. Pure.

Theory: level-triggered. The rules look at where a deployment stands, never at what has just happened, so that a look
that was missed costs time and nothing else; and once the effect is in the state, the same look finds nothing to do. The
deadline is judged by the leader's clock alone: it fires whether or not allocations are heard of.

Allocations that were unhealthy, or have failed, are replaced as long as their group's reschedule policy allows it. One
that can not be replaced, or any unhealthy one in a group without a progress deadline, ends the rollout. What had been
healthy before it failed only needs to be replaced: the rollout goes on.

Source: spec/scheduler.md 6.7, 6.8; users/wants.md 10.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.model.alloc import Allocation
from daemon.model.base import NS_PER_S
from daemon.model.deployment import Deployment, GroupDeployment
from daemon.model.enums import ClientStatus, DeploymentStatus
from daemon.model.job import Job
from daemon.scheduler.reschedule import due_at_ns


@dataclass(frozen=True)
class Fail:
    """The rollout has failed. `revert`: take the job back to its newest stable version."""

    description: str
    revert: bool


@dataclass(frozen=True)
class Promote:
    """All canaries are healthy, and nobody wants to be asked."""


@dataclass(frozen=True)
class Replace:
    """These allocations may be replaced although their rollout is under way."""

    alloc_ids: tuple[str, ...]


Effect = Fail | Promote | Replace


def judge(row: Deployment, job: Job | None, allocs: Iterable[Allocation], now_ns: int) -> Effect | None:
    """The one thing to be done now. `allocs`: those of the deployment, as far as `needs_allocs` asks for them."""
    if not row.active:
        return None
    mine = list(allocs)
    failed = _lost_for_good(row, job, mine)
    if failed is None:
        failed = _too_late(row, now_ns)
    if failed is not None:
        return failed
    again = tuple(alloc.id for alloc in mine if _may_come_again(alloc))
    if again:
        return Replace(again)
    return Promote() if _promotes_itself(row, mine) else None


def needs_allocs(row: Deployment) -> bool:
    """Whether the counters say that a look at the allocations may matter."""
    return any(group.unhealthy_allocs for group in row.task_groups.values()) or _all_canaries_counted(row)


def is_due(row: Deployment, now_ns: int) -> bool:
    """A clock of it has run out."""
    return any(0 < group.require_progress_by_ns <= now_ns for group in row.task_groups.values())


def finished(group: GroupDeployment) -> bool:
    """The group has all that it asked for."""
    waits = group.desired_canaries > 0 and not group.promoted
    return not waits and group.healthy_allocs >= group.desired_total


def _in_trouble(alloc: Allocation) -> bool:
    """Unhealthy or failed, and neither stopped nor replaced."""
    bad = _healthy(alloc) is False or alloc.client_status == ClientStatus.FAILED
    return bad and not alloc.server_terminal and not alloc.next_allocation


def _may_come_again(alloc: Allocation) -> bool:
    asked = alloc.desired_transition
    return _in_trouble(alloc) and not (asked.reschedule or asked.force_reschedule)


def _lost_for_good(row: Deployment, job: Job | None, allocs: list[Allocation]) -> Fail | None:
    """An unhealthy allocation that ends the rollout."""
    for alloc in allocs:
        group = row.task_groups.get(alloc.task_group)
        if group is None or not _in_trouble(alloc) or _healthy(alloc):
            continue
        what = f"group {alloc.task_group!r}: allocation {alloc.id[:8]} is unhealthy"
        if not group.progress_deadline_ns:
            return Fail(f"{what}, and progress_deadline is 0", group.auto_revert)
        if alloc.desired_transition.reschedule:
            continue
        found = job.group(alloc.task_group) if job is not None else None
        policy = found.reschedule_policy if found is not None else None
        if policy is None or due_at_ns(alloc, policy) is None:
            return Fail(f"{what}, and its reschedule policy allows no further replacement", group.auto_revert)
    return None


def _too_late(row: Deployment, now_ns: int) -> Fail | None:
    """A clock that has run out, the earliest first."""
    if row.status != DeploymentStatus.RUNNING:
        return None
    late = [
        (group.require_progress_by_ns, name, group)
        for name, group in row.task_groups.items()
        if 0 < group.require_progress_by_ns <= now_ns and _owes_progress(group)
    ]
    if not late:
        return None
    _, name, group = min(late, key=lambda each: each[:2])
    seconds = group.progress_deadline_ns / NS_PER_S
    if group.desired_canaries and not group.promoted:
        missing = f"{group.healthy_allocs} of {group.desired_canaries} canaries are healthy"
    else:
        missing = f"{group.healthy_allocs} of {group.desired_total} allocations are healthy"
    words = f"group {name!r}: no progress within its progress_deadline of {seconds:g} s, {missing}"
    return Fail(words, any(group.auto_revert for _, _, group in late))


def _owes_progress(group: GroupDeployment) -> bool:
    """Not when it is finished, nor when only somebody's promotion is missing."""
    if group.desired_canaries and not group.promoted:
        return group.healthy_allocs < group.desired_canaries
    return not finished(group)


def _all_canaries_counted(row: Deployment) -> bool:
    """By the counters, the deployment could promote itself."""
    if row.status != DeploymentStatus.RUNNING:
        return False
    waiting = [group for group in row.task_groups.values() if group.desired_canaries and not group.promoted]
    return bool(waiting) and all(
        group.auto_promote and group.healthy_allocs >= group.desired_canaries for group in waiting
    )


def _promotes_itself(row: Deployment, allocs: list[Allocation]) -> bool:
    """Every group with canaries wants it, and all of its canaries are healthy."""
    if not _all_canaries_counted(row):
        return False
    for name, group in row.task_groups.items():
        if not group.desired_canaries or group.promoted:
            continue
        ids = set(group.placed_canaries)
        canaries = [alloc for alloc in allocs if alloc.id in ids and not alloc.terminal]
        if len(canaries) < group.desired_canaries or not all(_healthy(alloc) for alloc in canaries):
            return False
        if any(alloc.task_group == name and _healthy(alloc) is False for alloc in allocs if alloc.id in ids):
            return False
    return True


def _healthy(alloc: Allocation) -> bool | None:
    return alloc.deployment_status.healthy if alloc.deployment_status is not None else None
