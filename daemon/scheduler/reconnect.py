"""Allocations that are back after their node was out of sight: they or their replacements. Pure.

Theory: exactly one of an original and its replacement stays. An original that has failed, was asked to move, or is of
an older version goes. Otherwise the group's `reconcile` says who wins; without a `disconnect` block that is best_score.
A running original is never given up for a replacement that does not run yet, and wins a tie. The winner's mark is
taken away, so that it comes back once.

Source: spec/scheduler.md 6.6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus
from daemon.model.job import Job, TaskGroup

GIVEN_UP = "it came back after its replacement had taken its place"
OUTDATED = "it came back after its job had changed, or after it was asked to move"
NOT_NEEDED_NOW = "the allocation that it replaced is back"
FAILED_AWAY = "it had failed when its node came back"


@dataclass
class Settled:
    """What becomes of the originals and of their replacements: (allocation, why) that stop."""

    kept: list[Allocation] = field(default_factory=list)
    stops: list[tuple[Allocation, str]] = field(default_factory=list)


def settle(
    group: TaskGroup,
    job: Job,
    back: Iterable[Allocation],
    everything: Iterable[Allocation],
    *,
    batch: bool,
) -> Settled:
    """Decide for each original that is back. `everything`: all allocations of the group."""
    by_id = {alloc.id: alloc for alloc in everything}
    settled = Settled()
    for original in sorted(back, key=lambda alloc: (alloc.index, alloc.id)):
        why = _unfit(original, job, batch=batch)
        if why:
            settled.stops.append((original, why))
            continue
        rivals = _replacements(original, by_id)
        winner = original
        for rival in rivals:
            if _replacement_wins(group, original, rival):
                winner = rival
        if winner is original:
            settled.kept.append(original)
            settled.stops.extend((rival, NOT_NEEDED_NOW) for rival in rivals)
        else:
            settled.stops.append((original, GIVEN_UP))
    return settled


def _unfit(original: Allocation, job: Job, *, batch: bool) -> str:
    """Why it cannot stay, whoever has replaced it."""
    if original.client_status == ClientStatus.FAILED:
        return FAILED_AWAY
    if original.client_terminal and not batch:
        return GIVEN_UP
    if original.job_version != job.version or original.desired_transition.migrate:
        return OUTDATED
    return ""


def _replacements(original: Allocation, by_id: dict[str, Allocation]) -> list[Allocation]:
    """The live ones of the chain that began with the original."""
    found: list[Allocation] = []
    seen = {original.id}
    here = by_id.get(original.next_allocation)
    while here is not None and here.id not in seen:
        seen.add(here.id)
        if not here.terminal:
            found.append(here)
        here = by_id.get(here.next_allocation)
    return found


def _replacement_wins(group: TaskGroup, original: Allocation, rival: Allocation) -> bool:
    if rival.job_version > original.job_version:
        return True
    if original.client_status == ClientStatus.COMPLETE:
        return False
    strategy = group.disconnect.reconcile if group.disconnect is not None else "best_score"
    if strategy == "keep_original":
        return False
    if strategy == "keep_replacement":
        return True
    if original.client_status == ClientStatus.RUNNING and rival.client_status != ClientStatus.RUNNING:
        return False
    if strategy == "longest_running":
        mine, theirs = _started_ns(group, original), _started_ns(group, rival)
        if mine and theirs and mine != theirs:
            return theirs < mine
    return _score(rival) > _score(original)


def _started_ns(group: TaskGroup, alloc: Allocation) -> int:
    """When its leader, or else its first task, started; 0: not yet."""
    leader = next((task.name for task in group.tasks if task.leader), None)
    if leader is not None and leader in alloc.task_states:
        return alloc.task_states[leader].started_at_ns
    starts = [state.started_at_ns for state in alloc.task_states.values() if state.started_at_ns]
    return min(starts, default=0)


def _score(alloc: Allocation) -> float:
    """The normalised score of its node when it was placed."""
    scores = alloc.metrics.score_meta_data if alloc.metrics is not None else ()
    return next((score.norm_score for score in scores if score.node_id == alloc.node_id), 0.0)
