"""Work on nodes that nobody hears of: what waits, what is replaced meanwhile, and what holds its group back. Pure.

Theory: an allocation whose node is out of sight becomes unknown and waits for `lost_after`, with an evaluation at its
end. With `replace` it holds no place meanwhile, and a replacement is placed that keeps its name; without, it holds its
place. A group with `stop_on_client_after` is different: its lost work stops itself after that time, and nothing of the
group is placed before it must have done so, so that two never run at once.

Source: spec/scheduler.md 6.1 (8, 12), 6.6.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.model.alloc import Allocation
from daemon.model.base import NS_PER_S
from daemon.model.enums import ClientStatus
from daemon.model.job import TaskGroup
from daemon.scheduler.classify import Sets, lost_after_ns
from daemon.scheduler.decision import GroupDecision
from daemon.scheduler.rollout import GroupRollout

#: at least so long a task is given to end.
_KILL_MIN_NS = 5 * NS_PER_S


@dataclass
class Away:
    """What the rest of the pass must know."""

    #: to be replaced beside what is lost.
    unreplaced: list[Allocation] = field(default_factory=list)
    #: nothing of the group may be placed yet.
    hold: bool = False


def set_apart(
    group: TaskGroup, sets: Sets, rollout: GroupRollout, decision: GroupDecision, now_ns: int, eval_id: str
) -> Away:
    """Note what becomes unknown; take what waits elsewhere out of `untainted`; say whether the group must wait."""
    away = Away()
    until = now_ns + lost_after_ns(group.disconnect)
    decision.unknown = [(until, alloc) for alloc in sets.disconnecting]
    replaced = group.disconnect is not None and group.disconnect.replace
    waiting = [
        alloc
        for alloc in (*sets.untainted, *sets.disconnecting)
        if alloc in sets.disconnecting or alloc.client_status == ClientStatus.UNKNOWN
    ]
    for alloc in waiting:
        counted = not replaced or rollout.is_canary(alloc)
        if counted and alloc not in sets.untainted:
            sets.untainted.append(alloc)
        elif not counted:
            sets.untainted = [other for other in sets.untainted if other.id != alloc.id]
            decision.ignored += alloc not in sets.disconnecting
            if not alloc.next_allocation:
                away.unreplaced.append(alloc)
    _hold_back(group, sets, decision, away, now_ns, eval_id)
    return away


def stop_limit_ns(group: TaskGroup) -> int | None:
    """How long after its node was lost a group's work has ended by itself; None: it does not."""
    disconnect = group.disconnect
    if disconnect is None or disconnect.stop_on_client_after_ns is None:
        return None
    kill = max((task.kill_timeout_ns for task in group.tasks), default=0)
    return disconnect.stop_on_client_after_ns + max(_KILL_MIN_NS, kill)


def _hold_back(
    group: TaskGroup, sets: Sets, decision: GroupDecision, away: Away, now_ns: int, eval_id: str
) -> None:
    limit_ns = stop_limit_ns(group)
    if limit_ns is None:
        return
    decision.delayed = [(now_ns + limit_ns, alloc) for alloc in sets.lost]
    before = [
        alloc
        for alloc in sets.ignored
        if alloc.client_status == ClientStatus.LOST and alloc.followup_eval_id and not alloc.next_allocation
    ]
    due = [
        alloc
        for alloc in before
        if alloc.followup_eval_id == eval_id or now_ns >= alloc.away_since_ns + limit_ns
    ]
    away.hold = bool(decision.delayed) or len(due) < len(before)
    if not away.hold:
        away.unreplaced.extend(due)
