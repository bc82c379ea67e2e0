"""Replacement of failed allocations: whether, when, and with which history. Pure.

Theory: the policy is judged at the time of the failure, so that a late look decides the same. The history travels
with the replacements: each event is one move.

Source: spec/scheduler.md 6.5.
"""

from __future__ import annotations

import msgspec

from daemon.model.alloc import Allocation, RescheduleEvent, RescheduleTracker
from daemon.model.base import NS_PER_S
from daemon.model.policies import ReschedulePolicy

#: due this soon counts as due now.
WINDOW_NS = 1 * NS_PER_S
#: due times this close share one follow-up evaluation.
BATCH_NS = 5 * NS_PER_S
_EVENTS_KEPT = 5
OK = "ok"
NO_PLACEMENT = "no placement"


def enabled(policy: ReschedulePolicy | None) -> bool:
    """True when failed work is ever replaced."""
    return policy is not None and (policy.unlimited or policy.attempts > 0)


def fail_time_ns(alloc: Allocation) -> int:
    """When it failed: the latest end of a task, else its last change."""
    ended = max((state.finished_at_ns for state in alloc.task_states.values()), default=0)
    return ended or alloc.modify_time_ns


def next_delay_ns(policy: ReschedulePolicy, events: tuple[RescheduleEvent, ...], failed_at_ns: int) -> int:
    """Wait before the next replacement."""
    base = policy.delay_ns
    if not events or policy.delay_function == "constant":
        return base
    last = events[-1].delay_ns
    if policy.delay_function == "exponential":
        delay = 2 * last
    elif len(events) == 1:
        delay = base
    else:
        before = events[-2].delay_ns
        # after a reset the series starts again: the delay before it is not part of it.
        delay = base if before == policy.max_delay_ns and last == base else last + before
    if policy.max_delay_ns and delay > policy.max_delay_ns:
        delay = policy.max_delay_ns
        if failed_at_ns - events[-1].reschedule_time_ns > delay:
            delay = base
    return delay


def due_at_ns(alloc: Allocation, policy: ReschedulePolicy) -> int | None:
    """When a failed allocation is to be replaced; None: never, its attempts are used up."""
    if not enabled(policy):
        return None
    events = alloc.reschedule_tracker.events if alloc.reschedule_tracker else ()
    failed_at = fail_time_ns(alloc)
    delay = next_delay_ns(policy, events, failed_at)
    if not policy.unlimited:
        recent = sum(1 for event in events if failed_at - event.reschedule_time_ns < policy.interval_ns)
        if recent >= policy.attempts or delay >= policy.interval_ns:
            return None
    return failed_at + delay


def tracker_of_replacement(alloc: Allocation, policy: ReschedulePolicy, now_ns: int) -> RescheduleTracker:
    """History that the replacement carries."""
    events = alloc.reschedule_tracker.events if alloc.reschedule_tracker else ()
    delay = next_delay_ns(policy, events, fail_time_ns(alloc))
    if policy.unlimited:
        kept = events[-_EVENTS_KEPT:]
    else:
        kept = tuple(event for event in events if now_ns - event.reschedule_time_ns < policy.interval_ns)
    move = RescheduleEvent(
        reschedule_time_ns=now_ns, prev_alloc_id=alloc.id, prev_node_id=alloc.node_id, delay_ns=delay
    )
    return RescheduleTracker(events=(*kept, move), last_reschedule=OK)


def tracker_without_placement(alloc: Allocation) -> RescheduleTracker:
    """Mark for the old allocation: it was due, and no node could take it."""
    tracker = alloc.reschedule_tracker or RescheduleTracker()
    return msgspec.structs.replace(tracker, last_reschedule=NO_PLACEMENT)


def penalised_nodes(alloc: Allocation) -> tuple[str, ...]:
    """Nodes on which it, or those before it, failed."""
    events = alloc.reschedule_tracker.events if alloc.reschedule_tracker else ()
    return tuple(dict.fromkeys((alloc.node_id, *(event.prev_node_id for event in events))))


def batched(due: list[tuple[int, Allocation]]) -> list[tuple[int, list[Allocation]]]:
    """Due times within five seconds of the first of their batch share its evaluation."""
    batches: list[tuple[int, list[Allocation]]] = []
    for at, alloc in sorted(due, key=lambda pair: (pair[0], pair[1].id)):
        if batches and at - batches[-1][0] < BATCH_NS:
            batches[-1][1].append(alloc)
        else:
            batches.append((at, [alloc]))
    return batches
