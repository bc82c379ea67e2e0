"""Reconciler for service and batch: from a group's allocations to what must change. Pure.

Theory: one pass per group, in fixed steps: stop everything if the group is not wanted; sort into sets; split the
failed ones; stop the surplus; compare with the newest spec; add canaries; fill up to the count; let the rollout say
how many updates may begin. Placing is not paced, only destructive updates are. Canaries stand beside the count until
they are promoted, and as long as they do, the rest stays as it is.

Not here: which node (place.py); what a rollout permits (rollout.py).

Source: spec/scheduler.md 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, JobType
from daemon.model.job import Job, TaskGroup
from daemon.model.plan import EvalInput, NodeView
from daemon.scheduler import canaries
from daemon.scheduler.away import set_apart
from daemon.scheduler.classify import Sets, classify, node_lost, stuck_on_lost_nodes
from daemon.scheduler.decision import GroupDecision, Replace, Stop
from daemon.scheduler.failures import Ended, Failures
from daemon.scheduler.names import NameIndex
from daemon.scheduler.reconnect import settle
from daemon.scheduler.rollout import GroupRollout, Rollouts
from daemon.scheduler.surplus import take_surplus, taken_over
from daemon.scheduler.updates import is_destructive

STOPPED = "the job is stopped"
NOT_NEEDED = "not needed any more by the job's count"
GROUP_GONE = "the group is not part of the job any more"
NODE_LOST = "its node is down or gone"
MIGRATING = "it is being moved to another node"
RESCHEDULED = "it failed and is replaced by its reschedule policy"
UPDATED = "it is replaced because of an update of the job"
TAKEN_OVER = "a promoted canary has taken its place"


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
        self.rollouts = Rollouts(self.job, self.input.deployment, self.batch)
        self.failures = Failures(
            self.input.now_ns, self.input.evaluation.id, self.batch, lambda alloc: self._changed(alloc)
        )

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
        if self.rollouts.finish({decision.name: decision.settled for decision in decisions}):
            for decision in decisions:
                decision.later.extend(decision.unasked)
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
        rollout = self.rollouts.group(group)
        stuck = stuck_on_lost_nodes(allocs, self.nodes)
        decision.stops.extend(Stop(alloc, NODE_LOST, ClientStatus.LOST) for alloc in stuck)
        if self.batch:
            allocs = [alloc for alloc in allocs if not (alloc.terminal and self._outdated(alloc))]
        now_ns, eval_id = self.input.now_ns, self.input.evaluation.id
        sets = classify(allocs, self.nodes, batch=self.batch, disconnect=group.disconnect, now_ns=now_ns)
        self._settle(group, sets, allocs, decision)
        away = set_apart(group, sets, rollout, decision, now_ns, eval_id)
        canaries.stop_stale(sets, rollout, decision)
        decision.stops.extend(Stop(alloc, NODE_LOST, ClientStatus.LOST) for alloc in sets.lost)
        sets.lost = canaries.forget_marked([*sets.lost, *away.unreplaced])
        renewing = self._may_renew(group, rollout, sets.untainted)
        ended = self.failures.split(group, rollout, sets.untainted, renewing=renewing)
        held, sets.untainted = canaries.set_aside(ended.kept, rollout)
        again, ended.now = canaries.set_aside(ended.now, rollout)
        self._stop_surplus(group, rollout, sets, ended, decision)
        if not (renewing or held) and self._may_renew(group, rollout, sets.untainted):
            # the running ones that canaries would have come before were surplus.
            sets.untainted = self.failures.renew_late(ended, sets.untainted)
        decision.later, decision.unasked = ended.later, ended.unasked
        destructive = self._compare(group, sets, decision)
        decision.ignored += len(held)
        self._canaries(group, rollout, [*held, *again], destructive, decision)
        decision.replacements.extend(_rescheduled(alloc, alloc.index, canary=True) for alloc in again)
        names = NameIndex(
            group.count,
            {alloc.index for alloc in (*sets.untainted, *sets.migrate) if not alloc.server_terminal},
        )
        self._migrations(sets, decision)
        added = self._fill(group, rollout, sets, ended, names, decision, hold=away.hold)
        total = added + len(decision.in_place) + len(destructive)
        self._roll(group, rollout, sets, destructive, decision)
        changing = bool(destructive or decision.in_place)
        ran = any(not self._outdated(alloc) for alloc in allocs)
        self.rollouts.begin(group.name, rollout, total, ran=ran, changing=changing)
        if rollout.canarying:
            decision.base = self._base(allocs, group)
        decision.stops = [self._as_lost(stop) for stop in decision.stops]
        # what is surplus is over: nobody waits for it to come back.
        over = {stop.alloc.id for stop in decision.stops}
        decision.unknown = [(due, alloc) for due, alloc in decision.unknown if alloc.id not in over]
        return decision

    def _as_lost(self, stop: Stop) -> Stop:
        """Of what stops on a node out of sight nobody will hear the end: it is lost at once."""
        ended = stop.client_status is not None or stop.alloc.client_terminal
        if ended or not node_lost(self.nodes.get(stop.alloc.node_id)):
            return stop
        return Stop(stop.alloc, stop.description, ClientStatus.LOST)

    def _settle(
        self, group: TaskGroup, sets: Sets, allocs: list[Allocation], decision: GroupDecision
    ) -> None:
        """Of what is back and what has replaced it, one stays."""
        if not sets.reconnecting:
            return
        assert self.job is not None
        settled = settle(group, self.job, sets.reconnecting, allocs, batch=self.batch)
        decision.stops.extend(Stop(alloc, why) for alloc, why in settled.stops)
        gone = {alloc.id for alloc, _ in settled.stops}
        for pool in (sets.untainted, sets.migrate, sets.lost, sets.disconnecting):
            pool[:] = [alloc for alloc in pool if alloc.id not in gone]
        sets.untainted.extend(settled.kept)
        decision.reconnected = settled.kept

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

    def _may_renew(self, group: TaskGroup, rollout: GroupRollout, allocs: list[Allocation]) -> bool:
        """What failed under an older spec may begin anew, unless canaries come first."""
        first = rollout.strategy is not None and rollout.strategy.canary > 0 and rollout.state is None
        waits = first and any(self._changed(alloc) for alloc in allocs if not alloc.terminal)
        return rollout.open and not waits

    def _base(self, allocs: list[Allocation], group: TaskGroup) -> Job | None:
        """The newest older version that needs no promotion: what is not a canary of it came after its own.

        None, which is the newest, also where running allocations of that version would only be updated in place.
        """
        assert self.job is not None
        older = [alloc for alloc in canaries.forget_marked(allocs) if self._outdated(alloc)]
        version = max((alloc.job_version for alloc in older), default=None)
        base = None if version is None else self.versions.get(version)
        return base if base is not None and is_destructive(base, self.job, group.name) else None

    def _stop_surplus(
        self, group: TaskGroup, rollout: GroupRollout, sets: Sets, ended: Ended, decision: GroupDecision
    ) -> None:
        assert self.job is not None
        gone = taken_over(sets.untainted, rollout, self.job.job_modify_index)
        gone += taken_over(sets.migrate, rollout, self.job.job_modify_index)
        decision.stops.extend(Stop(alloc, TAKEN_OVER) for alloc in gone)
        pools = (ended.renew, ended.now, sets.migrate, sets.untainted)
        unknown = sum(alloc.client_status == ClientStatus.UNKNOWN for alloc in sets.untainted)
        surplus = sum(len(pool) for pool in pools) - unknown - group.count
        taken = take_surplus(pools, surplus, group.count)
        decision.stops.extend(Stop(alloc, NOT_NEEDED) for alloc in taken)

    def _compare(self, group: TaskGroup, sets: Sets, decision: GroupDecision) -> list[Allocation]:
        """Sort the untainted by what the newest spec means for them; the destructive ones by number."""
        destructive: list[Allocation] = []
        for alloc in sets.untainted:
            if alloc.terminal or not self._outdated(alloc):
                decision.ignored += 1
            elif node_lost(self.nodes.get(alloc.node_id)) or alloc.client_status == ClientStatus.UNKNOWN:
                # nobody can tell it now; it is compared again when it is back.
                decision.ignored += 1
                decision.held += 1
            elif self._changed(alloc) or not self.serves(alloc, group):
                destructive.append(alloc)
            else:
                decision.in_place.append(alloc)
        return sorted(destructive, key=lambda alloc: alloc.index)

    def _canaries(
        self,
        group: TaskGroup,
        rollout: GroupRollout,
        existing: list[Allocation],
        destructive: list[Allocation],
        decision: GroupDecision,
    ) -> None:
        wanted = rollout.canaries_wanted(len(destructive), len(existing))
        if rollout.state is None:
            rollout.first_canaries = wanted
        decision.canaries = canaries.numbers(
            wanted,
            (alloc.index for alloc in existing),
            (alloc.index for alloc in destructive),
            group.count,
        )

    def _migrations(self, sets: Sets, decision: GroupDecision) -> None:
        for alloc in sorted(sets.migrate, key=lambda alloc: alloc.index):
            decision.stops.append(Stop(alloc, MIGRATING))
            decision.migrated += 1
            if not alloc.desired_transition.migrate_disable_placement:
                decision.replacements.append(Replace(alloc.index, alloc, tied=False))

    def _fill(
        self,
        group: TaskGroup,
        rollout: GroupRollout,
        sets: Sets,
        ended: Ended,
        names: NameIndex,
        decision: GroupDecision,
        *,
        hold: bool,
    ) -> int:
        """Fill up to the count. Returns how many are missing; a rollout may hold some of them back."""
        room = missing = max(0, group.count - len(sets.untainted) - len(sets.migrate))
        if hold:
            decision.held += room
            return missing
        for alloc in _first(ended.now, room):
            room -= 1
            if rollout.failed and alloc.deployment_id == rollout.deployment_id:
                decision.held += 1
            else:
                decision.replacements.append(_rescheduled(alloc, names.claim(alloc.index)))
        for alloc in _first(ended.renew, room):
            decision.replacements.append(
                Replace(names.claim(alloc.index), alloc, tied=True, description=UPDATED)
            )
            room -= 1
        for alloc in _first(sets.lost, room):
            decision.replacements.append(Replace(names.claim(alloc.index), alloc, tied=False))
            room -= 1
        if rollout.open:
            decision.fresh.extend(names.take(room))
        else:
            decision.held += room
        return missing

    def _roll(
        self,
        group: TaskGroup,
        rollout: GroupRollout,
        sets: Sets,
        destructive: list[Allocation],
        decision: GroupDecision,
    ) -> None:
        """Begin as many destructive updates as the rollout permits."""
        assert self.job is not None
        budget = 0
        if rollout.open:
            budget = rollout.budget(sets.untainted, self.job.job_modify_index, len(destructive))
            if rollout.strategy is not None:
                moving = len(decision.replacements) - decision.migrated
                budget = max(0, budget - moving - len(decision.fresh))
        for alloc in destructive[:budget]:
            decision.destructive.append(Replace(alloc.index, alloc, tied=True, description=UPDATED))
        decision.waiting = max(0, len(destructive) - budget)
        decision.ignored += decision.waiting


def _first(allocs: list[Allocation], many: int) -> list[Allocation]:
    return sorted(allocs, key=lambda alloc: alloc.index)[: max(0, many)]


def _rescheduled(alloc: Allocation, index: int, *, canary: bool = False) -> Replace:
    return Replace(index, alloc, tied=True, reschedule=True, description=RESCHEDULED, canary=canary)
