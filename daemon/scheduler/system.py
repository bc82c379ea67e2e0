"""System and sysbatch jobs: one allocation of each group on every node that can hold it. Pure.

Theory: a node that fails a constraint is no failure; a node that is only full is, and waits by a blocked evaluation
of its own. An evaluation for one node looks at that node alone.

Source: spec/scheduler.md 7 (without deployments).
"""

from __future__ import annotations

import numpy as np

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, JobType
from daemon.model.job import Job, TaskGroup
from daemon.model.plan import Attempt, EvalInput, GroupAnnotation, InPlaceUpdate
from daemon.scheduler.blocks import block_of
from daemon.scheduler.classify import node_lost, stuck_on_lost_nodes
from daemon.scheduler.decision import GroupDecision, Replace, Stop
from daemon.scheduler.feasible import conjunction
from daemon.scheduler.generic import stop_record
from daemon.scheduler.ids import Ids
from daemon.scheduler.outcome import Outcome
from daemon.scheduler.place import Placed, Placer, explained
from daemon.scheduler.ranker import Ranker
from daemon.scheduler.reconcile import NODE_LOST, UPDATED, Reconciler
from daemon.scheduler.report import GroupView, build_metric
from daemon.scheduler.updates import is_destructive
from daemon.state.columns import Mask
from daemon.state.fleet import Fleet

NOT_TARGETED = "the job does not ask for this node any more"
ASKED = "its stop was asked for"


def system_attempt(input_: EvalInput, fleet: Fleet) -> Attempt:
    """One pass over a system or sysbatch job."""
    job = input_.job
    if job is None or job.stop:
        ids = Ids(input_.seed, input_.evaluation.id, input_.attempt)
        outcome = Outcome(input_, fleet, ids)
        for decision in Reconciler(input_, lambda _alloc, _group: False).run():
            outcome.stops.extend(stop_record(stop) for stop in decision.stops)
            outcome.annotations[decision.name] = GroupAnnotation(stop=len(decision.stops))
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
        return self.outcome.attempt()

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
        for alloc in allocs:
            self._existing(group, alloc, targeted, missing, decision)
        stuck = stuck_on_lost_nodes(allocs, self.nodes)
        decision.stops.extend(Stop(alloc, NODE_LOST, ClientStatus.LOST) for alloc in stuck)
        self._stop(decision.stops)
        self.outcome.in_place.extend(
            InPlaceUpdate(
                alloc_id=alloc.id,
                node_id=alloc.node_id,
                job_version=self.job.version,
                job_spec_index=self.job.job_modify_index,
                allocated_resources=alloc.allocated_resources,
            )
            for alloc in decision.in_place
        )
        before = len(self.outcome.blocks)
        if group.count > 0:
            self._place(group, decision, missing)
        fresh = sum(block.count for block in self.outcome.blocks[before:])
        self.outcome.annotations[group.name] = GroupAnnotation(
            ignore=decision.ignored,
            place=fresh,
            stop=len(decision.stops),
            in_place_update=len(decision.in_place),
            destructive_update=len(decision.destructive) + decision.waiting,
        )

    def _existing(
        self, group: TaskGroup, alloc: Allocation, targeted: Mask, missing: Mask, decision: GroupDecision
    ) -> None:
        """What becomes of one allocation, first rule that applies; `missing` loses rows that are served."""
        node, row = self.nodes.get(alloc.node_id), self.placer.working.row(alloc.node_id)
        changed = alloc.job_spec_index != self.job.job_modify_index
        if alloc.terminal:
            if self.job.type == JobType.SYSBATCH and alloc.client_terminal and not changed and row >= 0:
                missing[row] = False
            return
        if node_lost(node):
            decision.stops.append(Stop(alloc, NODE_LOST, ClientStatus.LOST))
            return
        if alloc.desired_transition.migrate:
            decision.stops.append(Stop(alloc, ASKED))
            return
        ready = row >= 0 and bool(self.fleet.ready[row])
        if row < 0 or (not ready and changed) or (ready and not targeted[row]):
            decision.stops.append(Stop(alloc, NOT_TARGETED))
            return
        missing[row] = False
        if not ready or not changed:
            decision.ignored += 1
        elif is_destructive(self.versions.get(alloc.job_version), self.job, group.name):
            decision.destructive.append(Replace(alloc.index, alloc, tied=True, description=UPDATED))
        elif self.placer.serves(alloc, group):
            decision.in_place.append(alloc)
        else:
            decision.destructive.append(Replace(alloc.index, alloc, tied=True, description=UPDATED))

    def _budget(self, group: TaskGroup) -> int:
        if group.update is None or group.update.max_parallel == 0:
            return len(self.input.allocs)
        pending = 0
        for alloc in self.input.allocs:
            newest = alloc.job_spec_index == self.job.job_modify_index and alloc.task_group == group.name
            if newest and not alloc.server_terminal:
                healthy = alloc.deployment_status.healthy if alloc.deployment_status else None
                if healthy is False or alloc.client_status == ClientStatus.FAILED:
                    return 0
                pending += healthy is None
        return max(0, group.update.max_parallel - pending)

    def _place(self, group: TaskGroup, decision: GroupDecision, missing: Mask) -> None:
        decision.destructive.sort(key=lambda request: request.previous.node_id)
        budget = min(len(decision.destructive), self._budget(group))
        decision.waiting = len(decision.destructive) - budget
        decision.ignored += decision.waiting
        decision.destructive = decision.destructive[:budget]
        view = self.placer.view(group, self.everywhere)
        metric = build_metric(view, with_scores=False)
        placed = Placed()
        full: list[int] = []
        for request in decision.destructive:
            row = self.placer.working.row(request.previous.node_id)
            if not self.placer.replace_at(group, view.ranker, request, row, metric, placed):
                full.append(row)
        rows = np.flatnonzero(missing & view.ranker.mask).tolist()
        chosen = self._fits(group, view.ranker, rows)
        if chosen:
            indexes = [0] * len(chosen)
            self.outcome.blocks.append(block_of(self.placer, group, chosen, indexes, view.ranker, metric))
        taken = set(chosen)
        full.extend(row for row in rows if row not in taken)
        self.outcome.allocs.extend(placed.allocs)
        self.outcome.stops.extend(placed.stops)
        self.outcome.queued[group.name] = len(full)
        nothing = not (view.ranker.mask.any() or decision.ignored or decision.stops or self.only)
        if full or nothing:
            self._report(group, view, missing, full)

    def _fits(self, group: TaskGroup, ranker: Ranker, rows: list[int]) -> list[int]:
        """The rows that can take one each. With distinct rules every choice narrows the rest."""
        if not ranker.distinct:
            return [row for row in rows if ranker.left[row] > 0]
        only = np.zeros(self.fleet.length, dtype=np.bool_)
        only[rows] = True
        return sorted(self.placer.view(group, only, one_a_row=True).ranker.take(len(rows)))

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


def _only_allocs(input_: EvalInput, allocs: tuple[Allocation, ...]) -> EvalInput:
    """The same input with fewer allocations."""
    return EvalInput(
        evaluation=input_.evaluation, job=input_.job, allocs=allocs, nodes=input_.nodes, now_ns=input_.now_ns
    )
