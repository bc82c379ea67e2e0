"""Apply: garbage collection. Pure.

Theory: the collector listed what was collectable when it looked; apply looks again, because something may have
happened in between. Ids that are gone already are no error.

Source: spec/scheduler.md 10.
"""

from __future__ import annotations

from daemon.model.enums import ClientStatus, JobStatus, NodeStatus
from daemon.state.apply_jobs import purge_job
from daemon.state.commands import Collect
from daemon.state.draft import Draft

_ON_NODE = (ClientStatus.RUNNING, ClientStatus.UNKNOWN)


def apply_collect(draft: Draft, command: Collect) -> None:
    """Forget what is listed and still collectable."""
    tables = draft.tables
    for alloc_id in command.allocs:
        alloc = tables.allocs.get(alloc_id)
        if alloc is None:
            continue
        if not alloc.terminal or (alloc.client_status in _ON_NODE and alloc.node_id in tables.nodes):
            draft.drop(alloc_id, f"desired {alloc.desired_status}, is {alloc.client_status}: not over")
            continue
        draft.remove_alloc(alloc)
    for eval_id in command.evals:
        evaluation = tables.evals.get(eval_id)
        if evaluation is None:
            continue
        if not evaluation.terminal:
            draft.drop(eval_id, f"the evaluation is {evaluation.status}")
            continue
        draft.remove_eval(evaluation)
    for key in command.jobs:
        _collect_job(draft, key)
    for deployment_id in command.deployments:
        _collect_deployment(draft, deployment_id)
    for node_id in command.nodes:
        _collect_node(draft, node_id)
    tables.allocs.tidy()


def _collect_job(draft: Draft, key: tuple[str, str]) -> None:
    job = draft.tables.jobs.get(key)
    if job is None:
        return
    counts = draft.tables.allocs.job_counts(key)
    unfinished = draft.tables.eval_counts(key)[1]
    if (counts is not None and counts.live) or unfinished or not (job.stop or job.status == JobStatus.DEAD):
        draft.drop(f"{key[0]}/{key[1]}", f"the job is {job.status}, with {unfinished} open evaluations")
        return
    if any(version.version_tag for version in (job, *(draft.tables.old_versions.get(key) or ()))):
        draft.drop(f"{key[0]}/{key[1]}", "a version of the job has a tag, which keeps it")
        return
    evals = draft.tables.evals_of_job(key)
    purge_job(draft, job)
    for evaluation in evals:
        draft.remove_eval(evaluation)


def _collect_deployment(draft: Draft, deployment_id: str) -> None:
    row = draft.tables.deployments.get(deployment_id)
    if row is None:
        return
    if row.active:
        draft.drop(deployment_id, f"the deployment is {row.status}")
        return
    allocs = draft.tables.allocs.by_job((row.namespace, row.job_id))
    if any(alloc.deployment_id == deployment_id and not alloc.terminal for alloc in allocs):
        draft.drop(deployment_id, "allocations of the deployment are not over")
        return
    draft.remove_deployment(row)


def _collect_node(draft: Draft, node_id: str) -> None:
    node = draft.tables.nodes.get(node_id)
    if node is None:
        return
    if node.status != NodeStatus.DOWN:
        draft.drop(node_id, f"the node is {node.status}")
        return
    if any(not alloc.terminal for alloc in draft.tables.allocs.by_node(node_id)):
        draft.drop(node_id, "the node holds allocations that are not over")
        return
    draft.remove_node(node)
