"""From what was placed to the attempt: plan, the evaluation's end, and the evaluations that follow. Pure.

Source: spec/scheduler.md 1.6, 2.2, 3.2, 6.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from daemon.model.alloc import Allocation, AllocBlock
from daemon.model.deployment import Deployment, DeploymentChange
from daemon.model.enums import EvalStatus, Trigger
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.metrics import AllocMetric
from daemon.model.plan import (
    AllocMark,
    AllocStop,
    Attempt,
    EvalInput,
    GroupAnnotation,
    InPlaceUpdate,
    Plan,
)
from daemon.scheduler.decision import GroupDecision
from daemon.scheduler.feasible import Check, class_eligibility
from daemon.scheduler.ids import Ids
from daemon.scheduler.place import Placed
from daemon.scheduler.reschedule import batched
from daemon.scheduler.targets import escapes
from daemon.state.fleet import Fleet


@dataclass
class Outcome:
    """Gathers the parts of a plan group by group."""

    input: EvalInput
    fleet: Fleet
    ids: Ids
    blocks: list[AllocBlock] = field(default_factory=list)
    allocs: list[Allocation] = field(default_factory=list)
    stops: list[AllocStop] = field(default_factory=list)
    in_place: list[InPlaceUpdate] = field(default_factory=list)
    marks: list[AllocMark] = field(default_factory=list)
    annotations: dict[str, GroupAnnotation] = field(default_factory=dict)
    failed: dict[str, AllocMetric] = field(default_factory=dict)
    queued: dict[str, int] = field(default_factory=dict)
    later: list[tuple[int, Allocation]] = field(default_factory=list)
    #: to be marked unknown, and lost at that time.
    unknown: list[tuple[int, Allocation]] = field(default_factory=list)
    #: lost, and their group is placed again at that time.
    delayed: list[tuple[int, Allocation]] = field(default_factory=list)
    #: checks of the groups that failed.
    eligibility: list[list[Check]] = field(default_factory=list)
    #: nodes that were full for a system job.
    full_nodes: list[str] = field(default_factory=list)
    #: a rollout that begins with this plan, and those that end with it.
    deployment: Deployment | None = None
    deployment_changes: list[DeploymentChange] = field(default_factory=list)

    def waits(self, decision: GroupDecision) -> None:
        """What of a group's decision is for later."""
        self.later.extend(decision.later)
        self.unknown.extend(decision.unknown)
        self.delayed.extend(decision.delayed)
        self.marks.extend(AllocMark(alloc_id=alloc.id, reconnected=True) for alloc in decision.reconnected)

    def add(self, group: str, placed: Placed) -> None:
        """What came of placing for one group; a group may be placed for in several steps."""
        self.blocks.extend(placed.blocks)
        self.allocs.extend(placed.allocs)
        self.stops.extend(placed.stops)
        self.marks.extend(placed.marks)
        self.queued[group] = self.queued.get(group, 0) + placed.failed
        if placed.evicted and group in self.annotations:
            before = self.annotations[group]
            evicted = before.preemptions + placed.evicted
            self.annotations[group] = msgspec.structs.replace(before, preemptions=evicted)
        if placed.metric is not None:
            self.failed[group] = placed.metric
            self.eligibility.append(placed.eligibility)

    def attempt(self, wants_nodes: Iterable[str] = ()) -> Attempt:
        """Everything together. `wants_nodes`: what must be seen before it counts."""
        evaluation, following = self._evaluations()
        return Attempt(
            plan=self._plan(),
            evaluation=evaluation,
            new_evals=tuple(following),
            wants_nodes=tuple(wants_nodes),
        )

    def _plan(self) -> Plan:
        source, job = self.input.evaluation, self.input.job
        row_of, epochs = self.fleet.row_of, self.fleet.epochs
        nodes = sorted({alloc.node_id for alloc in self.allocs})
        return Plan(
            eval_id=source.id,
            namespace=source.namespace,
            job_id=source.job_id,
            job_version=job.version if job else 0,
            priority=source.priority,
            all_at_once=bool(job and job.all_at_once),
            snapshot_index=self.input.index,
            blocks=tuple(self.blocks),
            allocs=tuple(self.allocs),
            node_epochs={node: int(epochs[row_of[node]]) for node in nodes},
            stops=tuple(self.stops),
            in_place=tuple(self.in_place),
            marks=tuple(self.marks),
            annotations=self.annotations if source.annotate_plan else {},
            deployment=self.deployment,
            deployment_changes=tuple(self.deployment_changes),
        )

    def _evaluations(self) -> tuple[Evaluation, list[Evaluation]]:
        source = self.input.evaluation
        following: list[Evaluation] = []
        for due, allocs in batched(self.later):
            follow_up = self._new(Trigger.ALLOC_RESCHEDULE, EvalStatus.PENDING, wait_until_ns=due)
            following.append(follow_up)
            self.marks.extend(AllocMark(alloc_id=alloc.id, followup_eval_id=follow_up.id) for alloc in allocs)
        for due, allocs in batched(self.unknown):
            timeout = self._new(Trigger.MAX_DISCONNECT_TIMEOUT, EvalStatus.PENDING, wait_until_ns=due)
            following.append(timeout)
            self.marks.extend(
                AllocMark(alloc_id=alloc.id, unknown=True, followup_eval_id=timeout.id) for alloc in allocs
            )
        following.extend(self._after_stops())
        done = msgspec.structs.replace(
            source,
            status=EvalStatus.COMPLETE,
            status_description="",
            failed_tg_allocs=self.failed,
            queued_allocations=self.queued,
            snapshot_index=self.input.index,
            class_eligibility={},
            escaped_computed_class=False,
        )
        if not self.failed:
            return done, following
        if source.status == EvalStatus.BLOCKED:
            again = self._blocked_facts()
            return (
                msgspec.structs.replace(
                    done,
                    status=EvalStatus.BLOCKED,
                    status_description="still waiting for a node that can take the rest",
                    **again,
                ),
                following,
            )
        blocked = [
            self._new(
                Trigger.QUEUED_ALLOCS,
                EvalStatus.BLOCKED,
                status_description="waiting for a node that can take the rest",
                failed_tg_allocs=self.failed,
                queued_allocations=self.queued,
                snapshot_index=self.input.index,
                node_id=node,
                **self._blocked_facts(),
            )
            for node in self.full_nodes or [""]
        ]
        return msgspec.structs.replace(done, blocked_eval=blocked[0].id), [*blocked, *following]

    def _after_stops(self) -> list[Evaluation]:
        """Evaluations for when lost work has stopped itself; their ids go into the stops."""
        waits: dict[str, str] = {}
        evaluations = []
        for due, allocs in batched(self.delayed):
            evaluations.append(self._new(Trigger.ALLOC_RESCHEDULE, EvalStatus.PENDING, wait_until_ns=due))
            waits.update({alloc.id: evaluations[-1].id for alloc in allocs})
        self.stops = [
            msgspec.structs.replace(stop, followup_eval_id=waits[stop.alloc_id])
            if stop.alloc_id in waits
            else stop
            for stop in self.stops
        ]
        return evaluations

    def _new(self, trigger: Trigger, status: EvalStatus, **facts: object) -> Evaluation:
        source = self.input.evaluation
        fields: dict[str, object] = {
            "id": self.ids.uuid(),
            "namespace": source.namespace,
            "job_id": source.job_id,
            "type": source.type,
            "priority": source.priority,
            "triggered_by": trigger,
            "status": status,
            "previous_eval": source.id,
            "job_modify_index": self.input.job.job_modify_index if self.input.job else 0,
            "create_time_ns": self.input.now_ns,
            "modify_time_ns": self.input.now_ns,
        }
        return Evaluation(**(fields | facts))  # type: ignore[arg-type]

    def _blocked_facts(self) -> dict[str, object]:
        """Which classes can wake it: a class serves if it serves any group that failed."""
        if self.input.job is not None and _escaped(self.input.job, self.failed):
            return {"class_eligibility": {}, "escaped_computed_class": True}
        merged: dict[str, bool] = {}
        for checks in self.eligibility:
            for word, good in class_eligibility(self.fleet, checks).items():
                merged[word] = merged.get(word, False) or good
        return {"class_eligibility": merged, "escaped_computed_class": False}


def _escaped(job: Job, failed: dict[str, AllocMetric]) -> bool:
    """True when computed classes cannot tell which node would serve."""
    constraints = list(job.constraints)
    for group in job.task_groups:
        if group.name in failed:
            constraints.extend(group.constraints)
            constraints.extend(constraint for task in group.tasks for constraint in task.constraints)
    return any(escapes(constraint) for constraint in constraints)
