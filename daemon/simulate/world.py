"""World: a state of its own on which the real scheduler runs, one evaluation after the other, until nothing changes.

Theory: jobs are registered by the same commands that the log carries, evaluations run over the tracker's fleet, plans
are applied at once. Between evaluations the nodes do what is asked of them at once: what is stopped has ended, and,
where a rollout waits for it, what is placed runs and is healthy. Jobs come in the order of their priority, then in
that of the input. Same input and seed: same world. Time stands still, so nothing is due later.

Not here: reading fleets and clusters; what people are told (report.py); heartbeats, the log, conflicts of workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from daemon.model.alloc import Allocation, AllocHealth
from daemon.model.defaults import canonicalize
from daemon.model.enums import ClientStatus, JobType, NodeStatus, Trigger
from daemon.model.errors import EncampError
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.metrics import AllocMetric
from daemon.model.node import Node
from daemon.model.plan import Attempt, GroupAnnotation
from daemon.scheduler.schedule import schedule_seeing
from daemon.state.changes import Changes
from daemon.state.commands import (
    AllocClientUpdate,
    AnyCommand,
    ClientUpdate,
    Collect,
    JobRegister,
    NodeRegister,
    NodeStatusUpdate,
    plan_apply,
)
from daemon.state.neighbours import neighbours
from daemon.state.state import State
from daemon.state.tracker import FleetTracker
from daemon.state.view import eval_input

JobKey = tuple[str, str]
#: evaluations of one job in a row, each of which placed something: a rollout of this many steps is let go on.
STEPS_MAX = 10_000
_NODE_BOUND = (JobType.SYSTEM, JobType.SYSBATCH)


class World:
    """Owns a state and its fleet; what failed is kept per job."""

    def __init__(self, state: State, *, seed: int = 0, now_ns: int = 1) -> None:
        self.state = state
        self.seed = seed
        self.now_ns = max(now_ns, state.time_ns, 1)
        self.tracker = FleetTracker()
        blocks, allocs = state.alloc_holdings()
        self.tracker.rebuild(state.index, state.nodes(), allocs, blocks)
        #: job -> group -> why some of it has no node, after the job's last evaluation.
        self.failed: dict[JobKey, dict[str, AllocMetric]] = {}
        #: job -> group -> how many allocations have no node.
        self.missing: dict[JobKey, dict[str, int]] = {}
        #: job -> group -> what its evaluations did in all.
        self.done: dict[JobKey, dict[str, GroupAnnotation]] = {}
        self.evaluations = 0
        self._order: dict[JobKey, int] = {}

    def copy(self) -> World:
        """A world in the same state that goes its own way."""
        other = World(State.restore(self.state.snapshot().pieces()), seed=self.seed, now_ns=self.now_ns)
        other.failed, other.missing = dict(self.failed), dict(self.missing)
        other.evaluations, other._order = self.evaluations, dict(self._order)
        return other

    # ---- what happens to it ----

    def add_nodes(self, nodes: Iterable[Node]) -> None:
        """Machines join, ready."""
        for node in nodes:
            self._apply(NodeRegister(time_ns=self.now_ns, node=node))

    def register(self, job: Job) -> JobKey:
        """A job is submitted. One that would be launched later (cron, dispatch) is taken as launched once.

        Raises: EncampError, when the servers would refuse it.
        """
        job = msgspec.structs.replace(canonicalize(job), periodic=None, parameterized_job=None)
        changes = self._apply(JobRegister(time_ns=self.now_ns, job=job))
        if isinstance(changes.result, EncampError):
            raise changes.result
        self._order.setdefault(job.key, len(self._order))
        return job.key

    def fail(self, node_ids: Iterable[str]) -> None:
        """Nodes are lost, all at once."""
        command = NodeStatusUpdate(time_ns=self.now_ns, node_ids=tuple(node_ids), status=NodeStatus.DOWN)
        self._apply(command)

    def forget_nodes(self, nodes: Iterable[Node]) -> None:
        """Machines leave as if they had never joined: only work that is bound to its node may be on them."""
        ids = tuple(node.id for node in nodes)
        self.fail(ids)
        self.settle(self.node_bound())
        allocs = tuple(alloc.id for node_id in ids for alloc in self.state.allocs_by_node(node_id))
        self._apply(Collect(time_ns=self.now_ns, allocs=allocs, nodes=ids))

    def node_bound(self) -> list[JobKey]:
        """Jobs that want one allocation on every node."""
        return [job.key for job in self.state.jobs() if job.type in _NODE_BOUND and not job.stop]

    # ---- until nothing changes ----

    def settle(self, keys: Iterable[JobKey]) -> None:
        """Evaluate these jobs, and those that they touch or make room for, until nothing changes."""
        waiting = dict.fromkeys(keys)
        while waiting:
            key = min(waiting, key=self._rank)
            del waiting[key]
            touched, freed = self._run(key)
            waiting.update(dict.fromkeys(touched))
            if freed:
                waiting.update(dict.fromkeys(other for other in self.missing if other != key))

    def _rank(self, key: JobKey) -> tuple[int, int, JobKey]:
        job = self.state.job(*key)
        return (-(job.priority if job else 0), self._order.get(key, len(self._order)), key)

    def _run(self, key: JobKey) -> tuple[list[JobKey], bool]:
        """All steps of one job. Returns other jobs whose work was stopped for it, and whether room became free."""
        touched: dict[JobKey, None] = {}
        freed = False
        for _ in range(STEPS_MAX):
            attempt = self.attempt(key)
            if attempt is None:
                break
            changes = self._commit(attempt)
            stopped = [new for _, new in changes.allocs if new is not None and new.server_terminal]
            touched.update(dict.fromkeys(_key(alloc) for alloc in stopped if _key(alloc) != key))
            freed |= bool(stopped)
            self._end(stopped)
            if attempt.plan.empty or not self._rolls_on(key):
                break
        return list(touched), freed

    def attempt(self, key: JobKey) -> Attempt | None:
        """One evaluation of a job; its plan is not applied yet. None, when there is no such job."""
        job = self.state.job(*key)
        if job is None:
            self.failed.pop(key, None)
            self.missing.pop(key, None)
            return None
        self.evaluations += 1
        evaluation = Evaluation(
            id=f"{self.evaluations:08x}-0000-4000-8000-{self.state.index:012x}",
            namespace=job.namespace,
            job_id=job.id,
            type=job.type.value,
            priority=job.priority,
            triggered_by=Trigger.JOB_REGISTER,
            annotate_plan=True,
            job_modify_index=job.job_modify_index,
        )
        taken = eval_input(self.state, evaluation, now_ns=self.now_ns, seed=self.seed, attempt=1)
        attempt = schedule_seeing(taken, self.tracker.fleet, partial(neighbours, self.state, job))
        failed = attempt.evaluation.failed_tg_allocs
        if failed:
            self.failed[key] = failed
            self.missing[key] = {group: metric.coalesced_failures + 1 for group, metric in failed.items()}
        else:
            self.failed.pop(key, None)
            self.missing.pop(key, None)
        before = self.done.setdefault(key, {})
        for group, annotation in attempt.plan.annotations.items():
            before[group] = _sum(before.get(group), annotation)
        return attempt

    def _commit(self, attempt: Attempt) -> Changes:
        return self._apply(plan_apply(attempt.plan, time_ns=self.now_ns))

    def _end(self, stopped: list[Allocation]) -> None:
        """The nodes have ended what they were told to end."""
        running = [alloc for alloc in stopped if not alloc.client_terminal]
        self._report(running, ClientStatus.COMPLETE, None)

    def _rolls_on(self, key: JobKey) -> bool:
        """True when older allocations wait for the health of newer ones, which they now have."""
        job = self.state.job(*key)
        if job is None or job.stop:
            return False
        live = [alloc for alloc in self.state.allocs_by_job(*key) if not alloc.terminal]
        if all(alloc.job_version == job.version for alloc in live):
            return False
        fresh = [
            alloc
            for alloc in live
            if alloc.job_version == job.version
            and (alloc.deployment_status is None or alloc.deployment_status.healthy is None)
        ]
        self._report(fresh, ClientStatus.RUNNING, AllocHealth(healthy=True, timestamp_ns=self.now_ns))
        return bool(fresh)

    def _report(self, allocs: list[Allocation], status: ClientStatus, health: AllocHealth | None) -> None:
        by_node: dict[str, list[ClientUpdate]] = {}
        for alloc in allocs:
            update = ClientUpdate(alloc_id=alloc.id, client_status=status, health=health)
            by_node.setdefault(alloc.node_id, []).append(update)
        for node_id, updates in sorted(by_node.items()):
            self._apply(AllocClientUpdate(time_ns=self.now_ns, node_id=node_id, updates=tuple(updates)))

    def _apply(self, command: AnyCommand) -> Changes:
        changes = self.state.apply(self.state.index + 1, command)
        self.tracker.observe(changes)
        return changes


def _key(alloc: Allocation) -> JobKey:
    return (alloc.namespace, alloc.job_id)


def _sum(one: GroupAnnotation | None, other: GroupAnnotation) -> GroupAnnotation:
    """Counts of two steps together; what is left alone is that of the last."""
    if one is None:
        return other
    names = (info.name for info in msgspec.structs.fields(GroupAnnotation))
    added = {name: getattr(one, name) + getattr(other, name) for name in names}
    return GroupAnnotation(**{**added, "ignore": other.ignore})
