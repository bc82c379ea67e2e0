"""Garbage collection: which evaluations, allocations, jobs, deployments and nodes may be forgotten. Pure.

Theory: ages are by the leader's clock. An evaluation goes only with all of its allocations; a job goes when it is
dead, none of its versions has a tag, and all of its evaluations can go; a deployment when it and its allocations
are over; a node when it is down and holds nothing. The writes are split, so that no
log entry grows beyond its bound.

Source: spec/scheduler.md 10.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from daemon.model.alloc import Allocation
from daemon.model.base import NS_PER_S
from daemon.model.deployment import Deployment
from daemon.model.enums import ClientStatus, DesiredStatus, JobStatus, JobType, NodeStatus
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.state.commands import Collect
from daemon.state.state import State

HOUR_NS = 3600 * NS_PER_S
IDS_PER_WRITE = 7281
JOBS_PER_WRITE = 2048


class Ages(msgspec.Struct, frozen=True, kw_only=True):
    """How old an object must be, in ns, before it may go. `Ages.now()` collects whatever is over."""

    eval_ns: int = HOUR_NS
    batch_eval_ns: int = 24 * HOUR_NS
    job_ns: int = 4 * HOUR_NS
    deployment_ns: int = HOUR_NS
    node_ns: int = 24 * HOUR_NS

    @classmethod
    def now(cls) -> Ages:
        """For `system gc`."""
        return cls(eval_ns=1, batch_eval_ns=1, job_ns=1, deployment_ns=1, node_ns=1)


#: objects that are looked at before others have their turn.
_BREATH = 500

Step = Iterator[Collect | None]


def collectable(state: State, now_ns: int, ages: Ages) -> Step:
    """Commands that forget all that may go, in their order: evaluations, jobs, deployments, nodes last.

    None says: a good moment for others to have their turn. The state may change meanwhile; apply looks again.
    """
    yield from _evaluations(state, now_ns, ages)
    yield from _jobs(state, now_ns, ages)
    deployments: list[str] = []
    for looked, row in enumerate(list(state.deployments()), 1):
        if looked % _BREATH == 0:
            yield None
        if _deployment(state, row, now_ns, ages):
            deployments.append(row.id)
    for start in range(0, len(deployments), IDS_PER_WRITE):
        yield Collect(time_ns=now_ns, deployments=tuple(deployments[start : start + IDS_PER_WRITE]))
    nodes = tuple(
        node.id
        for node in state.nodes()
        if node.status == NodeStatus.DOWN
        and now_ns - node.status_updated_at_ns >= ages.node_ns
        and all(alloc.terminal for alloc in state.allocs_by_node(node.id))
    )
    if nodes:
        yield Collect(time_ns=now_ns, nodes=nodes)


def _evaluations(state: State, now_ns: int, ages: Ages) -> Step:
    evals: list[str] = []
    allocs: list[str] = []
    looked = 0
    for evaluation in list(state.evals()):
        gone, its_allocs = _evaluation(state, evaluation, now_ns, ages)
        looked += 1 + len(its_allocs)
        if looked >= _BREATH:
            looked = 0
            yield None
        allocs.extend(its_allocs)
        if gone:
            evals.append(evaluation.id)
    ids = [(True, id_) for id_ in evals] + [(False, id_) for id_ in allocs]
    for start in range(0, len(ids), IDS_PER_WRITE):
        part = ids[start : start + IDS_PER_WRITE]
        yield Collect(
            time_ns=now_ns,
            evals=tuple(id_ for is_eval, id_ in part if is_eval),
            allocs=tuple(id_ for is_eval, id_ in part if not is_eval),
        )


def _jobs(state: State, now_ns: int, ages: Ages) -> Step:
    jobs = []
    for looked, job in enumerate(list(state.jobs()), 1):
        if looked % _BREATH == 0:
            yield None
        if _job(state, job, now_ns, ages):
            jobs.append(job.key)
    for start in range(0, len(jobs), JOBS_PER_WRITE):
        part = tuple(jobs[start : start + JOBS_PER_WRITE])
        its_evals = tuple(e.id for key in part for e in state.evals_by_job(*key))
        its_allocs = tuple(a.id for key in part for a in state.allocs_by_job(*key))
        yield Collect(time_ns=now_ns, jobs=part, evals=its_evals, allocs=its_allocs)


def _evaluation(state: State, evaluation: Evaluation, now_ns: int, ages: Ages) -> tuple[bool, list[str]]:
    """(may the evaluation go, which of its allocations may)."""
    batch = evaluation.type in (JobType.BATCH, JobType.SYSBATCH)
    age_ns = ages.batch_eval_ns if batch else ages.eval_ns
    if not evaluation.terminal or now_ns - evaluation.modify_time_ns < age_ns:
        return False, []
    job = state.job(evaluation.namespace, evaluation.job_id)
    if state.all_live(evaluation.namespace, evaluation.job_id):
        # the usual case on a busy cluster; no row has to be made for it.
        return next(state.allocs_by_eval(evaluation.id), None) is None, []
    allocs = list(state.allocs_by_eval(evaluation.id))
    if batch and job is not None and not (job.status == JobStatus.DEAD and job.stop):
        # a finished batch job must not run again because its allocations were forgotten
        old = [a.id for a in allocs if a.terminal and a.job_version < job.version and _old(a, now_ns, age_ns)]
        return False, old
    going = [alloc.id for alloc in allocs if _alloc(alloc, job, now_ns, age_ns)]
    return len(going) == len(allocs), going


def _old(alloc: Allocation, now_ns: int, age_ns: int) -> bool:
    return now_ns - alloc.modify_time_ns >= age_ns


def _alloc(alloc: Allocation, job: Job | None, now_ns: int, age_ns: int) -> bool:
    """Spec 10, "Alloc eligible"."""
    if not alloc.terminal or alloc.client_status == ClientStatus.RUNNING or not _old(alloc, now_ns, age_ns):
        return False
    if job is None or job.stop or job.status == JobStatus.DEAD:
        return True
    if alloc.desired_status == DesiredStatus.STOP or alloc.client_status != ClientStatus.FAILED:
        return True
    group = job.group(alloc.task_group)
    policy = group.reschedule_policy if group is not None else None
    if policy is None or (not policy.unlimited and policy.attempts == 0) or alloc.next_allocation:
        return True
    if policy.unlimited:
        return False
    events = alloc.reschedule_tracker.events if alloc.reschedule_tracker else ()
    return not events or now_ns - events[-1].reschedule_time_ns > policy.interval_ns


def _job(state: State, job: Job, now_ns: int, ages: Ages) -> bool:
    if job.status != JobStatus.DEAD or now_ns - job.submit_time_ns < ages.job_ns:
        return False
    if not job.stop and job.type not in (JobType.BATCH, JobType.SYSBATCH):
        return False
    if any(version.version_tag is not None for version in state.job_versions(*job.key)):
        return False
    evals = list(state.evals_by_job(*job.key))
    allocs = list(state.allocs_by_job(*job.key))
    return all(e.terminal for e in evals) and all(
        alloc.terminal and alloc.client_status != ClientStatus.RUNNING for alloc in allocs
    )


def _deployment(state: State, row: Deployment, now_ns: int, ages: Ages) -> bool:
    if row.active or now_ns - row.modify_time_ns < ages.deployment_ns:
        return False
    allocs = state.allocs_by_job(row.namespace, row.job_id)
    return all(alloc.terminal for alloc in allocs if alloc.deployment_id == row.id)
