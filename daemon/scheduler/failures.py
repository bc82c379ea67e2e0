"""Which of the ended allocations are replaced now, which later, and which keep their place. Pure.

Theory: a failed allocation keeps its place until its policy lets it go. What belongs to a rollout that is under way
is replaced only when the deployment watcher has asked for it. A changed spec ends the waiting: what failed under the
old one begins anew at once, unless the rollout holds new work back.

Source: spec/scheduler.md 6.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus
from daemon.model.job import TaskGroup
from daemon.scheduler import reschedule
from daemon.scheduler.rollout import GroupRollout


@dataclass
class Ended:
    """What becomes of a group's ended allocations."""

    #: still in their places, running ones among them.
    kept: list[Allocation] = field(default_factory=list)
    now: list[Allocation] = field(default_factory=list)
    #: failed under an older spec, to begin anew under the newest.
    renew: list[Allocation] = field(default_factory=list)
    later: list[tuple[int, Allocation]] = field(default_factory=list)
    #: failed ones of a rollout that is under way, and when their policy would replace them; if the rollout ends
    #: with this pass, nobody else will ask for them.
    unasked: list[tuple[int, Allocation]] = field(default_factory=list)


@dataclass
class Failures:
    """The facts that all allocations of a pass share."""

    now_ns: int
    eval_id: str
    batch: bool
    changed: Callable[[Allocation], bool]

    def split(
        self, group: TaskGroup, rollout: GroupRollout, allocs: list[Allocation], *, renewing: bool
    ) -> Ended:
        """Sort them. `renewing`: failures under an older spec may begin anew."""
        ended = Ended()
        for alloc in allocs:
            if not alloc.client_terminal or alloc.server_terminal:
                ended.kept.append(alloc)
            elif alloc.next_allocation and not alloc.away_since_ns:
                continue
            elif alloc.client_status == ClientStatus.FAILED:
                if renewing and not self.batch and self.changed(alloc):
                    ended.renew.append(alloc)
                else:
                    self._failed(group, rollout, alloc, ended)
            elif self.batch and alloc.client_status == ClientStatus.COMPLETE:
                ended.kept.append(alloc)
        return ended

    def renew_late(self, ended: Ended, untainted: list[Allocation]) -> list[Allocation]:
        """Let failures under an older spec begin anew after all. Returns the untainted without them."""
        if self.batch:
            return untainted
        late = {
            alloc.id: alloc
            for alloc in (*untainted, *ended.now)
            if alloc.client_status == ClientStatus.FAILED
            and not alloc.server_terminal
            and self.changed(alloc)
        }
        ended.renew.extend(late.values())
        ended.now = [alloc for alloc in ended.now if alloc.id not in late]
        ended.later = [(due, alloc) for due, alloc in ended.later if alloc.id not in late]
        ended.unasked = [(due, alloc) for due, alloc in ended.unasked if alloc.id not in late]
        return [alloc for alloc in untainted if alloc.id not in late]

    def _failed(self, group: TaskGroup, rollout: GroupRollout, alloc: Allocation, ended: Ended) -> None:
        due = self._due(group, rollout, alloc)
        if due is not None and self._is_now(alloc, due):
            ended.now.append(alloc)
            return
        ended.kept.append(alloc)
        if alloc.followup_eval_id:
            return
        if due is not None:
            ended.later.append((due, alloc))
        elif rollout.of_active(alloc) and group.reschedule_policy is not None:
            by_policy = reschedule.due_at_ns(alloc, group.reschedule_policy)
            if by_policy is not None:
                ended.unasked.append((by_policy, alloc))

    def _due(self, group: TaskGroup, rollout: GroupRollout, alloc: Allocation) -> int | None:
        policy, asked = group.reschedule_policy, alloc.desired_transition
        if policy is None or not reschedule.enabled(policy):
            return None
        if asked.force_reschedule:
            return self.now_ns
        if rollout.of_active(alloc):
            return reschedule.due_at_ns(alloc, policy) if asked.reschedule else None
        return self.now_ns if asked.reschedule else reschedule.due_at_ns(alloc, policy)

    def _is_now(self, alloc: Allocation, due: int) -> bool:
        mine = bool(alloc.followup_eval_id) and alloc.followup_eval_id == self.eval_id
        return mine or due - self.now_ns <= reschedule.WINDOW_NS
