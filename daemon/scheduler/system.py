"""System and sysbatch jobs: one allocation of each group on every node that can hold it. Pure.

Theory: a node that fails a constraint is no failure; a node that is only full is, and waits by a blocked evaluation
of its own. An evaluation for one node looks at that node alone, and neither begins nor ends a rollout. Canaries are a
percentage of the nodes that a change replaces: there they stand in the old ones' places, marked until promotion. A node
without an allocation gets one whatever the rollout does, while canaries run one of the version before.

Source: spec/scheduler.md 7.
"""

from __future__ import annotations

import numpy as np

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, JobType
from daemon.model.job import Job, TaskGroup
from daemon.model.plan import Attempt, EvalInput, GroupAnnotation
from daemon.model.policies import UpdateStrategy
from daemon.scheduler.blocks import block_of
from daemon.scheduler.classify import stuck_on_lost_nodes
from daemon.scheduler.decision import GroupDecision, Replace, Stop
from daemon.scheduler.feasible import conjunction
from daemon.scheduler.generic import in_place, stop_record
from daemon.scheduler.ids import Ids
from daemon.scheduler.nodewise import Nodewise
from daemon.scheduler.outcome import Outcome
from daemon.scheduler.place import Placed, Placer, explained
from daemon.scheduler.ranker import Ranker
from daemon.scheduler.reconcile import NODE_LOST, UPDATED, Reconciler
from daemon.scheduler.report import GroupView, build_metric
from daemon.scheduler.rollout import GroupRollout, Rollouts
from daemon.state.columns import Mask
from daemon.state.fleet import Fleet


def system_attempt(input_: EvalInput, fleet: Fleet) -> Attempt:
    """One pass over a system or sysbatch job."""
    job = input_.job
    if job is None or job.stop:
        ids = Ids(input_.seed, input_.evaluation.id, input_.attempt)
        outcome = Outcome(input_, fleet, ids)
        reconciler = Reconciler(input_, lambda _alloc, _group: False)
        for decision in reconciler.run():
            outcome.stops.extend(stop_record(stop) for stop in decision.stops)
            outcome.annotations[decision.name] = GroupAnnotation(stop=len(decision.stops))
        outcome.deployment_changes = reconciler.rollouts.changes
        return outcome.attempt()
    return _System(input_, job, fleet).run()


class _System:
    """The pass over a wanted job."""

    def __init__(self, input_: EvalInput, job: Job, fleet: Fleet) -> None:
        self.input, self.job, self.fleet = input_, job, fleet
        ids = Ids(input_.seed, input_.evaluation.id, input_.attempt)
        self.outcome = Outcome(input_, fleet, ids)
        self.placer = Placer(input_, job, fleet, ids)
        self.nodes = {node.id: node for node in input_.nodes}
        self.versions = {old.version: old for old in input_.old_jobs}
        self.judge = Nodewise(job, self.versions, self.nodes, fleet, input_.now_ns, self.placer.serves)
        self.rollouts = Rollouts(job, input_.deployment, job.type == JobType.SYSBATCH)
        self.new_id = ids.uuid()
        self.settled: dict[str, bool] = {}
        self.only = input_.evaluation.node_id
        self.everywhere: Mask = np.ones(fleet.length, dtype=np.bool_)
        if self.only:
            self.everywhere = np.zeros(fleet.length, dtype=np.bool_)
            row = fleet.row_of.get(self.only, -1)
            if row >= 0:
                self.everywhere[row] = True

    def run(self) -> Attempt:
        by_group: dict[str, list[Allocation]] = {}
        for alloc in self.input.allocs:
            if not self.only or alloc.node_id == self.only:
                by_group.setdefault(alloc.task_group, []).append(alloc)
        for group in self.job.task_groups:
            self._group(group, by_group.pop(group.name, []))
        gone = tuple(alloc for _, allocs in sorted(by_group.items()) for alloc in allocs)
        for decision in Reconciler(_only_allocs(self.input, gone), lambda _a, _g: False).run():
            if self.job.group(decision.name) is None:
                self._stop(decision.stops)
        if not self.only:
            self.rollouts.finish(self.settled)
        evaluation, now_ns = self.input.evaluation, self.input.now_ns
        self.outcome.deployment = self.rollouts.new_deployment(evaluation, self.new_id, now_ns)
        self.outcome.deployment_changes = self.rollouts.changes
        preemption = self.placer.preemption
        return self.outcome.attempt(preemption.wanted if preemption is not None else ())

    def _stop(self, stops: list[Stop]) -> None:
        for stop in stops:
            self.outcome.stops.append(stop_record(stop))
            self.placer.working.stop(stop.alloc)

    def _group(self, group: TaskGroup, allocs: list[Allocation]) -> None:
        checks = (*self.placer.location[:2], *self.placer.feasibility(group))
        targeted = conjunction(self.fleet, checks)
        if group.count <= 0:
            targeted = np.zeros(self.fleet.length, dtype=np.bool_)
        decision = GroupDecision(group.name)
        missing = self.everywhere.copy()
        destructive = self.judge.judge(group, allocs, targeted, missing, decision)
        stuck = stuck_on_lost_nodes(allocs, self.nodes)
        decision.stops.extend(Stop(alloc, NODE_LOST, ClientStatus.LOST) for alloc in stuck)
        self._stop(decision.stops)
        self.outcome.waits(decision)
        before, placed = len(self.outcome.blocks), Placed()
        if group.count > 0:
            self._place(group, decision, destructive, missing, placed)
        fresh = sum(block.count for block in self.outcome.blocks[before:])
        fresh += sum(not alloc.previous_allocation for alloc in placed.allocs)
        self.settled[group.name] = decision.settled and not fresh
        self.outcome.annotations[group.name] = GroupAnnotation(
            ignore=decision.ignored,
            place=fresh,
            preemptions=placed.evicted,
            stop=len(decision.stops),
            in_place_update=len(decision.in_place),
            destructive_update=len(destructive) - sum(r.canary for r in decision.destructive),
            canary=sum(request.canary for request in decision.destructive),
        )

    # -- the rollout -------------------------------------------------------------------------------

    def _roll(
        self,
        group: TaskGroup,
        rollout: GroupRollout,
        decision: GroupDecision,
        destructive: list[Allocation],
    ) -> None:
        """Choose which of the destructive updates begin now, and which of them are canaries."""
        held = [
            alloc
            for alloc in self.input.allocs
            if alloc.task_group == group.name and not alloc.server_terminal
        ]
        marked = sum(rollout.is_canary(alloc) for alloc in held)
        wanted = 0
        if rollout.strategy is not None and destructive and not (rollout.paused or rollout.failed):
            if rollout.state is not None:
                wanted = max(0, rollout.state.desired_canaries - marked) if rollout.canarying else 0
            elif not rollout.deployment_id:
                wanted = rollout.first_canaries = canary_nodes(rollout.strategy, len(destructive))
        budget = wanted
        if rollout.open:
            budget = rollout.budget(held, self.job.job_modify_index, len(destructive))
        decision.destructive = [
            Replace(alloc.index, alloc, tied=True, description=UPDATED, canary=bool(wanted))
            for alloc in destructive[:budget]
        ]
        decision.waiting = len(destructive) - len(decision.destructive)
        decision.ignored += decision.waiting

    def _placer_of_missing(self, group: TaskGroup, rollout: GroupRollout) -> tuple[Placer, TaskGroup]:
        """While canaries run, nodes without an allocation get one of the version before."""
        if rollout.canarying:
            older = [
                alloc.job_version
                for alloc in self.input.allocs
                if alloc.task_group == group.name and alloc.job_spec_index != self.job.job_modify_index
            ]
            base = self.versions.get(max(older, default=-1))
            old_group = base.group(group.name) if base is not None else None
            if base is not None and old_group is not None:
                return self.placer.of_version(base), old_group
        return self.placer, group

    # -- placing -----------------------------------------------------------------------------------

    def _place(
        self,
        group: TaskGroup,
        decision: GroupDecision,
        destructive: list[Allocation],
        missing: Mask,
        placed: Placed,
    ) -> None:
        rollout = self.rollouts.group(group)
        self._roll(group, rollout, decision, destructive)
        view = self.placer.view(group, self.everywhere)
        metric = build_metric(view, with_scores=False)
        full: list[int] = []
        rows = np.flatnonzero(missing & view.ranker.mask).tolist()
        if not self.only:
            total = len(destructive) + len(decision.in_place) + int((view.ranker.left[rows] > 0).sum())
            self.rollouts.begin(
                group.name,
                rollout,
                total,
                ran=any(alloc.job_spec_index == self.job.job_modify_index for alloc in self.input.allocs),
                changing=bool(destructive or decision.in_place),
            )
        member = self.placer.deployment_id = self.rollouts.member(group.name, self.new_id)
        self.outcome.in_place.extend(in_place(self.job, alloc, member) for alloc in decision.in_place)
        for request in decision.destructive:
            row = self.placer.working.row(request.previous.node_id)
            if not self.placer.replace_at(group, view.ranker, request, row, metric, placed):
                full.append(row)
        placer, wanted = self._placer_of_missing(group, rollout)
        ranker = view.ranker if placer is self.placer else placer.view(wanted, self.everywhere).ranker
        rows = np.flatnonzero(missing & ranker.mask).tolist()
        chosen = self._fits(placer, wanted, ranker, rows)
        if ranker.units:
            for row in chosen:
                placer.one_at(wanted, ranker, row, 0, metric, placed)
        elif chosen:
            indexes = [0] * len(chosen)
            self.outcome.blocks.append(block_of(placer, wanted, chosen, indexes, ranker, metric))
        taken = set(chosen)
        for row in rows:
            if row not in taken and not placer.push_out(wanted, ranker, row, 0, metric, placed):
                full.append(row)
        if self.placer.preemption is not None and full:
            self.placer.preemption.want_rows(ranker, np.array(full, dtype=np.int64))
        placed.failed = len(full)
        self.outcome.add(group.name, placed)
        nothing = not (view.ranker.mask.any() or decision.ignored or decision.stops or self.only)
        if full or nothing:
            self._report(group, view, missing, full)

    def _fits(self, placer: Placer, group: TaskGroup, ranker: Ranker, rows: list[int]) -> list[int]:
        """The rows that can take one each. With distinct rules every choice narrows the rest."""
        if not ranker.distinct:
            return [row for row in rows if ranker.left[row] > 0]
        only = np.zeros(self.fleet.length, dtype=np.bool_)
        only[rows] = True
        return sorted(placer.view(group, only, one_a_row=True).ranker.take(len(rows)))

    def _report(self, group: TaskGroup, view: GroupView, missing: Mask, full: list[int]) -> None:
        if full:
            view.only = np.zeros(self.fleet.length, dtype=np.bool_)
            view.only[full] = True
        else:
            view.only = missing
        self.outcome.failed[group.name] = explained(view, max(0, len(full) - 1))
        self.outcome.eligibility.append([*self.placer.location, *view.feasibility])
        known = set(self.outcome.full_nodes)
        self.outcome.full_nodes.extend(
            self.fleet.ids[row] for row in full if self.fleet.ids[row] not in known
        )


def canary_nodes(strategy: UpdateStrategy, changing: int) -> int:
    """On how many of the changing nodes canaries come first: a percentage, at most max_parallel."""
    return min(strategy.max_parallel, -(-strategy.canary * changing // 100))


def _only_allocs(input_: EvalInput, allocs: tuple[Allocation, ...]) -> EvalInput:
    """The same input with fewer allocations."""
    return EvalInput(
        evaluation=input_.evaluation, job=input_.job, allocs=allocs, nodes=input_.nodes, now_ns=input_.now_ns
    )
