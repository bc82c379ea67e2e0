"""Drains of nodes: what is to be moved now, and which drains are done. Pure.

Theory: level-triggered. From the draining nodes, the allocations there, those of the groups concerned, and the time,
`step` says which allocations to mark; nothing is remembered between two steps. A marked allocation is replaced by the
scheduler, stop and placement in one plan.

- A service group moves as many at a time as its migrate block allows, counted over the whole job: what is healthy and
  not marked must not fall below count - max_parallel. One whose health is not known yet counts for nothing, so that
  replacements that are not up hold the rest back.
- Batch work may finish until the deadline; then it is stopped for good.
- System work is marked when everything else has ended.
- At the deadline all that is left is marked, and the drain is done at once.

Not here: when to look (drainer.py); what follows for a group (daemon.scheduler.reconcile).

Source: spec/scheduler.md 9.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from daemon.model.alloc import Allocation, DesiredTransition
from daemon.model.base import NS_PER_S
from daemon.model.enums import ClientStatus, JobType
from daemon.model.health import health_rules, migrate_rules
from daemon.model.job import Job, TaskGroup
from daemon.model.node import Node
from daemon.state.state import State

#: deadlines this close to one that is over are taken with it.
COALESCE_NS = 5 * NS_PER_S

MOVE = DesiredTransition(migrate=True)
#: forced out: it keeps its slot, so that it is not run again elsewhere.
END = DesiredTransition(migrate=True, migrate_disable_placement=True)

JobKey = tuple[str, str]


@dataclass
class Step:
    """What to do now. `jobs`: jobs of the marked allocations, in order, which need an evaluation."""

    marks: dict[str, DesiredTransition] = field(default_factory=dict)
    jobs: dict[JobKey, None] = field(default_factory=dict)
    #: node id -> start of the drain that is done.
    done: dict[str, int] = field(default_factory=dict)
    #: jobs with live allocations on draining nodes: their changes matter.
    concerned: set[JobKey] = field(default_factory=set)
    #: the next forced deadline, wall ns; 0: none.
    next_ns: int = 0

    def mark(self, alloc: Allocation, transition: DesiredTransition) -> None:
        """Ask for one allocation to be moved."""
        self.marks[alloc.id] = transition
        self.jobs[alloc.namespace, alloc.job_id] = None


def step(state: State, nodes: Iterable[Node], now_ns: int) -> Step:
    """Look at all draining nodes at once: the pace of a group counts over all of them."""
    result = Step()
    draining = [node for node in nodes if node.drain_strategy is not None]
    overdue = _overdue(draining, now_ns)
    paced: dict[tuple[JobKey, str], list[Allocation]] = {}
    for node in sorted(draining, key=lambda node: node.id):
        live = [alloc for alloc in state.allocs_by_node(node.id) if not alloc.client_terminal]
        live.sort(key=lambda alloc: (alloc.job_id, alloc.index, alloc.id))
        if node.id in overdue:
            _force(state, node, live, result)
        else:
            _wait(state, node, live, paced, result)
    for (key, name), drainable in paced.items():
        job = state.job(*key)
        group = job.group(name) if job is not None else None
        if job is not None and group is not None:
            ours = (alloc for alloc in state.allocs_by_job(*key) if alloc.task_group == name)
            for alloc in to_move(job, group, ours, drainable, result.marks):
                result.mark(alloc, MOVE)
    return result


def _overdue(draining: list[Node], now_ns: int) -> set[str]:
    drains = {node.id: node.drain_strategy for node in draining if node.drain_strategy is not None}
    horizon = now_ns
    if any(0 < drain.force_deadline_ns <= now_ns for drain in drains.values()):
        horizon += COALESCE_NS
    return {node_id for node_id, drain in drains.items() if drain.overdue(horizon)}


def _force(state: State, node: Node, live: list[Allocation], result: Step) -> None:
    """Mark everything, and end the drain."""
    assert node.drain_strategy is not None
    for alloc in live:
        kind = _kind(state, alloc)
        if kind == JobType.SYSTEM and node.drain_strategy.ignore_system_jobs:
            continue
        _mark_once(alloc, END if kind in (JobType.BATCH, JobType.SYSBATCH) else MOVE, result)
    result.done[node.id] = node.drain_strategy.started_at_ns


def _wait(
    state: State,
    node: Node,
    live: list[Allocation],
    paced: dict[tuple[JobKey, str], list[Allocation]],
    result: Step,
) -> None:
    """Collect what may be moved by pace; once all but system work has ended, the drain is done."""
    assert node.drain_strategy is not None
    system = [alloc for alloc in live if _kind(state, alloc) == JobType.SYSTEM]
    if len(system) == len(live):
        if not node.drain_strategy.ignore_system_jobs:
            for alloc in system:
                _mark_once(alloc, MOVE, result)
        result.done[node.id] = node.drain_strategy.started_at_ns
        return
    deadline = node.drain_strategy.force_deadline_ns
    if deadline:
        result.next_ns = min(result.next_ns or deadline, deadline)
    for alloc in live:
        key = (alloc.namespace, alloc.job_id)
        kind = _kind(state, alloc)
        if kind == JobType.SERVICE:
            result.concerned.add(key)
            if not alloc.terminal and not alloc.desired_transition.migrate:
                paced.setdefault((key, alloc.task_group), []).append(alloc)


def to_move(
    job: Job,
    group: TaskGroup,
    allocs: Iterable[Allocation],
    drainable: list[Allocation],
    forced: Iterable[str] = (),
) -> list[Allocation]:
    """Which of `drainable` to mark now; `allocs` are all of the group, `forced` those that are marked anyway."""
    gone = set(forced)
    healthy = sum(
        not alloc.terminal
        and not alloc.desired_transition.migrate
        and alloc.id not in gone
        and _is_judged(job, group, alloc)
        for alloc in allocs
    )
    budget = healthy - (group.count - migrate_rules(group).max_parallel)
    return drainable[: max(0, budget)]


def _is_judged(job: Job, group: TaskGroup, alloc: Allocation) -> bool:
    """Its health is known, either way. Where nobody judges it, running must do."""
    if alloc.deployment_status is not None and alloc.deployment_status.healthy is not None:
        return True
    rules = health_rules(job, group, alloc.deployment_id)
    return (
        rules is not None and rules.health_check == "manual" and alloc.client_status == ClientStatus.RUNNING
    )


def _mark_once(alloc: Allocation, transition: DesiredTransition, result: Step) -> None:
    if not alloc.terminal and not alloc.desired_transition.migrate:
        result.mark(alloc, transition)


def _kind(state: State, alloc: Allocation) -> JobType | None:
    """The type of its job; None: purged, so that it stops by itself."""
    job = state.job(alloc.namespace, alloc.job_id)
    return job.type if job is not None else None
