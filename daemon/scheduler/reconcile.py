"""Reconciler for service and batch: from a group's allocations to what must change. Pure.

Theory: one pass per group, in fixed steps: stop everything if the group is not wanted; sort into sets; split the
failed ones; stop the surplus; compare with the newest spec; fill up to the count. Placing is not paced, only
destructive updates are: by what of the newest spec is not yet healthy.

Not here: which node (place.py); canaries, disconnects and drain pacing, whose sets slot in between the steps.

Source: spec/scheduler.md 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, JobType
from daemon.model.job import Job, TaskGroup
from daemon.model.plan import EvalInput, NodeView
from daemon.scheduler import reschedule
from daemon.scheduler.classify import Sets, classify, node_lost, stuck_on_lost_nodes
from daemon.scheduler.decision import GroupDecision, Replace, Stop
from daemon.scheduler.names import NameIndex
from daemon.scheduler.updates import is_destructive

STOPPED = "the job is stopped"
NOT_NEEDED = "not needed any more by the job's count"
GROUP_GONE = "the group is not part of the job any more"
NODE_LOST = "its node is down or gone"
MIGRATING = "it is being moved to another node"
RESCHEDULED = "it failed and is replaced by its reschedule policy"
UPDATED = "it is replaced because of an update of the job"


@dataclass
class Reconciler:
    """The facts that all groups share. `serves(alloc, group)`: its node can still hold it as it is."""

    input: EvalInput
    serves: Callable[[Allocation, TaskGroup], bool]

    def __post_init__(self) -> None:
        self.job = self.input.job
        self._destructive: dict[tuple[int, str], bool] = {}
        self.nodes: dict[str, NodeView] = {node.id: node for node in self.input.nodes}
        self.versions: dict[int, Job] = {job.version: job for job in self.input.old_jobs}
        self.batch = self.input.evaluation.type == JobType.BATCH
        if self.job is not None:
            self.versions[self.job.version] = self.job
            self.batch = self.job.type == JobType.BATCH

    def run(self) -> list[GroupDecision]:
        """Decisions of all groups: the job's in order, then those that only have allocations left."""
        by_group: dict[str, list[Allocation]] = {}
        for alloc in self.input.allocs:
            by_group.setdefault(alloc.task_group, []).append(alloc)
        decisions = []
        job = self.job
        for group in job.task_groups if job else ():
            allocs = by_group.pop(group.name, [])
            wanted = job is not None and not job.stop and group.count > 0
            decisions.append(self._group(group, allocs) if wanted else self._stop_all(group.name, allocs))
        decisions.extend(self._stop_all(name, allocs) for name, allocs in sorted(by_group.items()))
        return decisions

    # -- nothing wanted ----------------------------------------------------------------------------

    def _stop_all(self, name: str, allocs: Iterable[Allocation]) -> GroupDecision:
        decision = GroupDecision(name)
        if self.job is None or self.job.stop:
            why = STOPPED
        else:
            why = NOT_NEEDED if self.job.group(name) else GROUP_GONE
        for alloc in allocs:
            lost = node_lost(self.nodes.get(alloc.node_id))
            if alloc.client_terminal:
                continue
            if lost:
                decision.stops.append(Stop(alloc, NODE_LOST, ClientStatus.LOST))
            elif not alloc.server_terminal:
                decision.stops.append(Stop(alloc, why))
        return decision

    # -- a wanted group ----------------------------------------------------------------------------

    def _group(self, group: TaskGroup, allocs: list[Allocation]) -> GroupDecision:
        decision = GroupDecision(group.name)
        stuck = stuck_on_lost_nodes(allocs, self.nodes)
        decision.stops.extend(Stop(alloc, NODE_LOST, ClientStatus.LOST) for alloc in stuck)
        if self.batch:
            allocs = [alloc for alloc in allocs if not (alloc.terminal and self._outdated(alloc))]
        sets = classify(allocs, self.nodes, batch=self.batch)
        now, outdated = self._split_failed(group, sets, decision)
        decision.stops.extend(Stop(alloc, NODE_LOST, ClientStatus.LOST) for alloc in sets.lost)
        self._stop_surplus(group, sets, now, outdated, decision)
        names = NameIndex(
            group.count,
            {alloc.index for alloc in (*sets.untainted, *sets.migrate) if not alloc.server_terminal},
        )
        self._migrations(sets, decision)
        room = group.count - len(sets.untainted) - len(sets.migrate)
        self._replace(group, now, outdated, sets.lost, names, room, decision)
        self._updates(group, sets, decision)
        return decision

    def _outdated(self, alloc: Allocation) -> bool:
        return self.job is not None and alloc.job_spec_index != self.job.job_modify_index

    def _changed(self, alloc: Allocation) -> bool:
        """True when the newest spec differs in what a running task cannot be told."""
        assert self.job is not None
        if not self._outdated(alloc):
            return False
        key = (alloc.job_version, alloc.task_group)
        if key not in self._destructive:
            old = self.versions.get(alloc.job_version)
            self._destructive[key] = is_destructive(old, self.job, alloc.task_group)
        return self._destructive[key]

    def _split_failed(
        self, group: TaskGroup, sets: Sets, decision: GroupDecision
    ) -> tuple[list[Allocation], list[Allocation]]:
        """Move ended allocations out of `untainted`: to replace now, and old-spec ones to renew."""
        now: list[Allocation] = []
        renew: list[Allocation] = []
        kept: list[Allocation] = []
        for alloc in sets.untainted:
            if not alloc.client_terminal or alloc.server_terminal:
                kept.append(alloc)
            elif alloc.next_allocation:
                continue
            elif alloc.client_status == ClientStatus.FAILED:
                if not self.batch and self._changed(alloc):
                    renew.append(alloc)
                    continue
                due = self._due(group, alloc)
                if due is not None and self._is_now(alloc, due):
                    now.append(alloc)
                    continue
                kept.append(alloc)
                if due is not None and not alloc.followup_eval_id:
                    decision.later.append((due, alloc))
            elif self.batch and alloc.client_status == ClientStatus.COMPLETE:
                kept.append(alloc)
        sets.untainted = kept
        return now, renew

    def _due(self, group: TaskGroup, alloc: Allocation) -> int | None:
        policy = group.reschedule_policy
        if policy is None or not reschedule.enabled(policy):
            return None
        if alloc.desired_transition.force_reschedule or alloc.desired_transition.reschedule:
            return self.input.now_ns
        return reschedule.due_at_ns(alloc, policy)

    def _is_now(self, alloc: Allocation, due: int) -> bool:
        mine = bool(alloc.followup_eval_id) and alloc.followup_eval_id == self.input.evaluation.id
        return mine or due - self.input.now_ns <= reschedule.WINDOW_NS

    def _stop_surplus(
        self,
        group: TaskGroup,
        sets: Sets,
        now: list[Allocation],
        renew: list[Allocation],
        decision: GroupDecision,
    ) -> None:
        surplus = len(sets.untainted) + len(sets.migrate) + len(now) + len(renew) - group.count
        for pool in (renew, now, sets.migrate, sets.untainted):
            if surplus <= 0:
                return
            stoppable = [alloc for alloc in pool if not alloc.server_terminal and not self._done(alloc)]
            stoppable.sort(key=lambda alloc: (-alloc.index, alloc.create_index, alloc.id))
            if pool is sets.untainted:
                stoppable = _duplicates_last(stoppable, group.count)
            chosen = stoppable[:surplus]
            gone = {alloc.id for alloc in chosen}
            pool[:] = [alloc for alloc in pool if alloc.id not in gone]
            decision.stops.extend(Stop(alloc, NOT_NEEDED) for alloc in chosen)
            surplus -= len(chosen)

    def _done(self, alloc: Allocation) -> bool:
        return alloc.client_status == ClientStatus.COMPLETE

    def _migrations(self, sets: Sets, decision: GroupDecision) -> None:
        for alloc in sorted(sets.migrate, key=lambda alloc: alloc.index):
            decision.stops.append(Stop(alloc, MIGRATING))
            decision.migrated += 1
            if not alloc.desired_transition.migrate_disable_placement:
                decision.replacements.append(Replace(alloc.index, alloc, tied=False))

    def _replace(
        self,
        group: TaskGroup,
        now: list[Allocation],
        renew: list[Allocation],
        lost: list[Allocation],
        names: NameIndex,
        room: int,
        decision: GroupDecision,
    ) -> None:
        for alloc in sorted(now, key=lambda alloc: alloc.index)[: max(0, room)]:
            index = names.claim(alloc.index)
            decision.replacements.append(
                Replace(index, alloc, tied=True, reschedule=True, description=RESCHEDULED)
            )
            room -= 1
        for alloc in sorted(renew, key=lambda alloc: alloc.index)[: max(0, room)]:
            decision.replacements.append(
                Replace(names.claim(alloc.index), alloc, tied=True, description=UPDATED)
            )
            room -= 1
        for alloc in sorted(lost, key=lambda alloc: alloc.index)[: max(0, room)]:
            decision.replacements.append(Replace(names.claim(alloc.index), alloc, tied=False))
            room -= 1
        decision.fresh.extend(names.take(max(0, room)))

    def _updates(self, group: TaskGroup, sets: Sets, decision: GroupDecision) -> None:
        assert self.job is not None
        destructive: list[Allocation] = []
        for alloc in sets.untainted:
            if alloc.terminal or not self._outdated(alloc):
                decision.ignored += 1
            elif self._changed(alloc) or not self.serves(alloc, group):
                destructive.append(alloc)
            else:
                decision.in_place.append(alloc)
        destructive.sort(key=lambda alloc: alloc.index)
        budget = min(len(destructive), self._budget(group, sets, decision))
        for alloc in destructive[:budget]:
            decision.destructive.append(Replace(alloc.index, alloc, tied=True, description=UPDATED))
        decision.waiting = len(destructive) - budget
        decision.ignored += decision.waiting

    def _budget(self, group: TaskGroup, sets: Sets, decision: GroupDecision) -> int:
        """How many destructive updates may begin now."""
        if self.batch or group.update is None or group.update.max_parallel == 0:
            return group.count
        pending = 0
        for alloc in sets.untainted:
            if self._outdated(alloc):
                continue
            healthy = alloc.deployment_status.healthy if alloc.deployment_status else None
            if healthy is False or alloc.client_status == ClientStatus.FAILED:
                return 0
            pending += healthy is None
        return max(0, group.update.max_parallel - pending - len(decision.replacements) - len(decision.fresh))


def _duplicates_last(allocs: list[Allocation], count: int) -> list[Allocation]:
    """Numbers beyond the count first, then second holders of a number, then the highest numbers."""
    seen: set[int] = set()
    second: set[str] = set()
    for alloc in sorted(allocs, key=lambda alloc: (alloc.index, alloc.create_index, alloc.id)):
        if alloc.index in seen:
            second.add(alloc.id)
        seen.add(alloc.index)
    return sorted(
        allocs,
        key=lambda alloc: (
            alloc.index < count,
            alloc.id not in second,
            -alloc.index,
            -alloc.create_index,
            alloc.id,
        ),
    )
