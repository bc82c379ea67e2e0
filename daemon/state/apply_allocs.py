"""Apply: what nodes report of their allocations, and what is asked of allocations. Pure.

Theory: a node may change only the client status, its description, task states, health and network status, only
forward, health only for the deployment that it was judged for, and only while it is not down or disconnected: a
report that was under way when the node was given up must not bring back what has been replaced.

Source: spec/scheduler.md 1.5.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.alloc import Allocation, AllocHealth, DesiredTransition
from daemon.model.enums import ClientStatus, EvalStatus, NodeStatus
from daemon.state.commands import AllocClientUpdate, AllocTransition, ClientUpdate
from daemon.state.draft import Draft

#: nodes whose word is not taken.
AWAY = (NodeStatus.DOWN, NodeStatus.DISCONNECTED)


def apply_client_update(draft: Draft, command: AllocClientUpdate) -> None:
    """Store a node's reports; unknown, foreign and backward ones are dropped."""
    node = draft.tables.nodes.get(command.node_id)
    if node is None or node.status in AWAY:
        reason = "the node is unknown" if node is None else f"the node is {node.status}"
        for update in command.updates:
            draft.drop(update.alloc_id, f"{reason}; it must register or come back first")
        return
    if len(command.updates) > 1:
        draft.tables.allocs.expect([update.alloc_id for update in command.updates])
    taken = not command.updates
    for update in command.updates:
        before = draft.tables.allocs.get(update.alloc_id)
        reason = _refusal(before, command.node_id, update)
        if before is None or reason:
            draft.drop(update.alloc_id, reason)
            continue
        taken = True
        after = _updated(draft, before, update)
        if before.client_status == ClientStatus.UNKNOWN and before.followup_eval_id:
            _cancel_wait(draft, before)
            after = replace(after, followup_eval_id="")
        draft.put_alloc(before, after)
    if taken:
        for evaluation in command.evaluations:
            draft.put_eval(evaluation)


def _cancel_wait(draft: Draft, back: Allocation) -> None:
    """It is back in time: the evaluation that waits for its end is needless, unless another waits with it."""
    tables = draft.tables
    waiting = tables.evals.get(back.followup_eval_id)
    if waiting is None or waiting.status != EvalStatus.PENDING:
        return
    for other in tables.allocs.by_job((back.namespace, back.job_id)):
        if other.id != back.id and other.followup_eval_id == waiting.id and not other.terminal:
            return
    draft.put_eval(
        replace(
            waiting,
            status=EvalStatus.CANCELED,
            status_description="the allocations that it waited for are back",
            modify_time_ns=draft.time_ns,
        )
    )


def apply_transition(draft: Draft, command: AllocTransition) -> None:
    """Note what is asked of allocations; the evaluations make the scheduler act on it."""
    for alloc_id, asked in command.transitions.items():
        before = draft.tables.allocs.get(alloc_id)
        if before is None:
            draft.drop(alloc_id, "there is no such allocation")
            continue
        after = replace(
            before,
            desired_transition=_merged(before.desired_transition, asked),
            modify_index=draft.index,
            modify_time_ns=draft.time_ns,
        )
        draft.put_alloc(before, after)
    for evaluation in command.evaluations:
        draft.put_eval(evaluation)


def _refusal(before: Allocation | None, node_id: str, update: ClientUpdate) -> str:
    if before is None:
        return "there is no such allocation"
    if before.node_id != node_id:
        return f"it belongs to node {before.node_id}"
    if update.client_status in (ClientStatus.LOST, ClientStatus.UNKNOWN):
        return f"a node may not report {update.client_status}"
    ended = before.client_status in (ClientStatus.COMPLETE, ClientStatus.FAILED)
    if ended and update.client_status != before.client_status:
        return f"it is already {before.client_status}"
    return ""


def _updated(draft: Draft, before: Allocation, update: ClientUpdate) -> Allocation:
    health = before.deployment_status
    mine = update.deployment_id is None or update.deployment_id == before.deployment_id
    if update.health is not None and mine:
        canary = health.canary if health else False
        health = AllocHealth(
            healthy=update.health.healthy,
            timestamp_ns=update.health.timestamp_ns or draft.time_ns,
            canary=canary,
            modify_index=draft.index,
        )
    # what was written off stays so: its name has been given to another allocation.
    lost = before.client_status == ClientStatus.LOST
    return replace(
        before,
        client_status=before.client_status if lost else update.client_status,
        client_description=before.client_description if lost else update.client_description,
        task_states=update.task_states or before.task_states,
        deployment_status=health,
        network_status=update.network_status or before.network_status,
        modify_index=draft.index,
        modify_time_ns=draft.time_ns,
    )


def _merged(stored: DesiredTransition, asked: DesiredTransition) -> DesiredTransition:
    return DesiredTransition(
        migrate=stored.migrate or asked.migrate,
        reschedule=stored.reschedule or asked.reschedule,
        force_reschedule=stored.force_reschedule or asked.force_reschedule,
        no_shutdown_delay=stored.no_shutdown_delay or asked.no_shutdown_delay,
        migrate_disable_placement=stored.migrate_disable_placement or asked.migrate_disable_placement,
    )
