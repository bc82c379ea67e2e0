"""What the scheduler is given to decide on one evaluation, taken at one index. Pure.

Source: spec/scheduler.md 1.8, 6.5; daemon/model/plan.py.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, JobType
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.node import Node
from daemon.model.plan import EvalInput, NodeView
from daemon.state.state import State

_BATCH = (JobType.BATCH, JobType.SYSBATCH)


#: (job, now_ns) -> node id -> how much its failures there count.
FailedOn = Callable[[Job, int], dict[str, float]]


def eval_input(
    state: State,
    evaluation: Evaluation,
    now_ns: int,
    seed: int,
    attempt: int,
    failed_on: FailedOn | None = None,
) -> EvalInput:
    """All that the scheduler may know besides the fleet."""
    namespace, job_id = evaluation.namespace, evaluation.job_id
    versions = state.job_versions(namespace, job_id)
    job = versions[0] if versions else None
    is_batch = job is not None and job.type in _BATCH
    allocs = tuple(alloc for alloc in state.allocs_by_job(namespace, job_id) if is_batch or _matters(alloc))
    in_use = {alloc.job_version for alloc in allocs}
    old_jobs = tuple(old for old in versions[1:] if old.version in in_use)
    volumes = state.volumes.of_job(job, *old_jobs) if job is not None else ()
    return EvalInput(
        evaluation=evaluation,
        job=job,
        old_jobs=old_jobs,
        allocs=allocs,
        nodes=_nodes(state, allocs),
        deployment=state.latest_deployment(namespace, job_id),
        failures=failed_on(job, now_ns) if job is not None and failed_on is not None else {},
        volumes=volumes,
        writers={row.id: found for row in volumes if (found := state.volumes.writers(row))},
        claims=state.volumes.claims(namespace, job_id),
        config=state.scopes.config_for(job.node_pool) if job is not None else state.scheduler_config,
        index=state.index,
        now_ns=now_ns,
        seed=seed,
        attempt=attempt,
    )


def node_view(node: Node) -> NodeView:
    """A node as the reconciler sees it."""
    return NodeView(
        id=node.id, status=node.status, draining=node.drain_strategy is not None, ready=node.ready
    )


def _matters(alloc: Allocation) -> bool:
    """Not over on both sides, or failed and not replaced yet."""
    if alloc.client_terminal and alloc.next_allocation:
        # it ended while it was out of sight: it and its replacement are still to be settled.
        return alloc.away_since_ns > 0 and not alloc.server_terminal
    if not (alloc.server_terminal and alloc.client_terminal):
        return True
    if alloc.client_status == ClientStatus.LOST and alloc.followup_eval_id:
        # its group waits for the node to stop it by itself.
        return not alloc.next_allocation
    return alloc.client_status == ClientStatus.FAILED and not alloc.next_allocation


def _nodes(state: State, allocs: tuple[Allocation, ...]) -> tuple[NodeView, ...]:
    found = (state.node(node_id) for node_id in sorted({alloc.node_id for alloc in allocs}))
    return tuple(node_view(node) for node in found if node is not None)
