"""Canaries: those that end with their deployment, and those that are missing. Pure.

Theory: a canary is an allocation of the newest version beside the old ones, under the name of one that it may replace.
The mark falls with promotion; a marked one whose deployment is over or has failed serves nobody. A canary whose node
is lost or drained is not moved: it ends, and a new one takes its place, because canaries are counted, not named.

Source: spec/scheduler.md 6.2 (3), 6.4, 6.7.
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.model.alloc import Allocation
from daemon.scheduler.classify import Sets
from daemon.scheduler.decision import GroupDecision, Stop
from daemon.scheduler.rollout import GroupRollout

NOT_PROMOTED = "it is a canary of a rollout that has ended without promotion"
CANARY_MOVED = "it is a canary on a node that is being drained; another takes its place"


def stop_stale(sets: Sets, rollout: GroupRollout, decision: GroupDecision) -> None:
    """End marked canaries that nobody waits for, and those that would have to move."""
    for pool in (sets.untainted, sets.migrate):
        for alloc in list(pool):
            if not _marked(alloc) or alloc.server_terminal:
                continue
            if rollout.failed or not rollout.is_canary(alloc):
                decision.stops.append(Stop(alloc, NOT_PROMOTED))
            elif pool is sets.migrate:
                decision.stops.append(Stop(alloc, CANARY_MOVED))
            else:
                continue
            pool.remove(alloc)


def set_aside(allocs: list[Allocation], rollout: GroupRollout) -> tuple[list[Allocation], list[Allocation]]:
    """(canaries, others)."""
    canaries = [alloc for alloc in allocs if rollout.is_canary(alloc)]
    return canaries, [alloc for alloc in allocs if not rollout.is_canary(alloc)] if canaries else allocs


def forget_marked(allocs: list[Allocation]) -> list[Allocation]:
    """Without canaries: whatever becomes of them, nobody takes their place by name."""
    return [alloc for alloc in allocs if not _marked(alloc)]


def numbers(many: int, canaries: Iterable[int], replaced: Iterable[int], count: int) -> list[int]:
    """Numbers for new canaries: those about to be replaced first, then free ones, then beyond the count."""
    held, going = set(canaries), sorted(set(replaced))
    chosen = [index for index in going if index not in held][:many]
    held.update(chosen)
    held.update(going)
    free = (index for index in range(count + many + len(held)) if index not in held)
    return [*chosen, *(next(free) for _ in range(many - len(chosen)))]


def _marked(alloc: Allocation) -> bool:
    return alloc.deployment_status is not None and alloc.deployment_status.canary
