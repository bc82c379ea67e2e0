"""Which evaluations follow from news about nodes and allocations. Pure but for the ids.

Source: spec/scheduler.md 2.2, 7 (system), 9.1 ("Evals on").
"""

from __future__ import annotations

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, JobType, Trigger
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.node import Node
from daemon.server.context import ServerContext


def for_node(context: ServerContext, node: Node) -> tuple[Evaluation, ...]:
    """One evaluation per job with a live allocation there, and one per system job that may want the node."""
    state = context.state
    made: dict[tuple[str, str], Evaluation] = {}
    for alloc in state.allocs_by_node(node.id):
        if alloc.terminal:
            continue
        job = state.job(alloc.namespace, alloc.job_id)
        if job is not None and job.key not in made:
            made[job.key] = context.evaluation(job, Trigger.NODE_UPDATE, node_id=node.id)
    for evaluation in for_system_jobs(context, node):
        made.setdefault((evaluation.namespace, evaluation.job_id), evaluation)
    return tuple(made.values())


def for_system_jobs(context: ServerContext, node: Node) -> tuple[Evaluation, ...]:
    """One evaluation per running system job whose pool the node is in; the scheduler looks at the rest."""
    return tuple(
        context.evaluation(job, Trigger.NODE_UPDATE, node_id=node.id)
        for job in context.state.jobs()
        if job.type == JobType.SYSTEM and not job.stop and job.node_pool in ("all", node.node_pool)
    )


def for_updates(
    context: ServerContext, updates: list[tuple[Allocation, ClientStatus, bool | None]]
) -> tuple[Evaluation, ...]:
    """Evaluations after reports of a node: (allocation as stored, new status, new health).

    A failure asks for a replacement; a service that ended is refilled; health lets a rolling update go on.
    """
    made: dict[tuple[str, str], Evaluation] = {}
    for alloc, status, healthy in updates:
        job = context.state.job(alloc.namespace, alloc.job_id)
        if job is None or job.stop or job.key in made:
            continue
        trigger = _trigger(alloc, status, healthy, job.type in (JobType.BATCH, JobType.SYSBATCH))
        if trigger is None and status != alloc.client_status and _next_waits(job, alloc, status):
            trigger = Trigger.QUEUED_ALLOCS
        if trigger is not None:
            made[job.key] = context.evaluation(job, trigger)
    return tuple(made.values())


def _trigger(alloc: Allocation, status: ClientStatus, healthy: bool | None, batch: bool) -> Trigger | None:
    before = alloc.deployment_status.healthy if alloc.deployment_status else None
    if status != alloc.client_status:
        if status == ClientStatus.FAILED and not alloc.server_terminal:
            return Trigger.ALLOC_FAILURE
        if status == ClientStatus.COMPLETE and not alloc.server_terminal and not batch:
            return Trigger.ALLOC_STOP
        if alloc.client_status == ClientStatus.UNKNOWN:
            return Trigger.RECONNECT
    # the watcher judges what belongs to a deployment
    if healthy is not None and healthy != before and not batch and not alloc.deployment_id:
        return Trigger.DEPLOYMENT_WATCHER
    return None


def _next_waits(job: Job, alloc: Allocation, status: ClientStatus) -> bool:
    """An end in a group with max_running: the next of the group may run."""
    group = job.group(alloc.task_group)
    return group is not None and 0 < group.max_running < group.count and status == ClientStatus.COMPLETE
