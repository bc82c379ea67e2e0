"""Apply: what the plan queue let through of a plan.

Theory: between the check of a plan and its commit a node may die or the job change. Each placement therefore
carries its node's epoch, and the plan the job's version; what no longer holds is dropped here and said in
`Changes.dropped`. A stop with `replaced_by` happens only with its placement. When a placement was dropped, the
evaluation's own outcome is withheld, so that the evaluation is handed out again. A deployment begins before the
placements that belong to it; what they add to it is counted from what was stored.
Pure.

Source: spec/scheduler.md 1.5, 1.8; architecture.md "Evaluation and plans".
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from daemon.model.alloc import Allocation, AllocBlock
from daemon.model.enums import ClientStatus, DesiredStatus, EvalStatus
from daemon.model.errors import InvalidInput
from daemon.model.job import Job
from daemon.model.plan import AllocMark, AllocStop, InPlaceUpdate
from daemon.state.apply_allocs import AWAY
from daemon.state.apply_deployments import begin_deployment, change_deployment
from daemon.state.apply_volumes import claim_volumes, refused
from daemon.state.block_columns import column_faults, has_repeats, node_rows, only_rows
from daemon.state.changes import PlanApplied
from daemon.state.commands import PlanApply
from daemon.state.draft import Draft
from daemon.state.node_codes import GONE


class _Pass:
    """State of applying one plan."""

    def __init__(self, draft: Draft, command: PlanApply) -> None:
        self.draft = draft
        self.command = command
        self.job: Job | None = draft.tables.jobs.get((command.namespace, command.job_id))
        old = draft.tables.old_versions.get((command.namespace, command.job_id)) or ()
        self.versions = {job.version: job for job in (self.job, *old) if job is not None}
        #: blocks and rows that were stored, for `replaced_by`.
        self.rows: set[str] = set()
        self.blocks: list[AllocBlock] = []
        self.placed = 0
        self.full = True

    def refuse(self, what: str, reason: str) -> None:
        """Leave a placement out."""
        self.full = False
        self.draft.drop(what, reason)

    def committed(self, alloc_id: str) -> bool:
        """True when this plan placed that allocation."""
        if alloc_id in self.rows:
            return True
        raw = bytes.fromhex(alloc_id.replace("-", "")) if len(alloc_id) == 36 else b""
        return bool(raw) and any(_holds(block, raw) for block in self.blocks)


def apply_plan(draft: Draft, command: PlanApply) -> None:
    """Store what still holds of a plan."""
    for block in command.blocks:
        fault = column_faults(block) or ("an id repeats" if has_repeats(block) else "")
        if fault:
            draft.changes.result = InvalidInput(
                f"plan of evaluation {command.eval_id}, group {block.task_group}: {fault}",
                eval_id=command.eval_id,
            )
            return
    run = _Pass(draft, command)
    moved = _job_moved(run)
    for change in command.deployment_changes:
        change_deployment(draft, change)
    if command.deployment is not None:
        begin_deployment(draft, command.deployment, moved)
    for block in command.blocks:
        if moved or block.job_version not in run.versions:
            _refuse_block(run, block, moved or f"job version {block.job_version} is gone")
        else:
            _place_block(run, block)
    for alloc in command.allocs:
        _place_alloc(run, alloc, moved)
    if len(command.stops) > 1:
        draft.tables.allocs.expect([stop.alloc_id for stop in command.stops])
    for stop in command.stops:
        _stop(run, stop)
    for update in command.in_place:
        _update(run, update, moved)
    for mark in command.marks:
        _mark(run, mark)
    for evaluation in command.evaluations:
        own = evaluation.id == command.eval_id or evaluation.status == EvalStatus.BLOCKED
        if run.full or not own:
            draft.put_eval(evaluation)
    draft.changes.result = PlanApplied(full=run.full, placed=run.placed, eval_id=command.eval_id)


def _job_moved(run: _Pass) -> str:
    if run.job is None:
        return "the job is gone"
    if run.job.stop:
        return "the job is stopped"
    if run.job.version != run.command.job_version:
        return f"the job is at version {run.job.version}, the plan is for {run.command.job_version}"
    return ""


def _refuse_block(run: _Pass, block: AllocBlock, reason: str) -> None:
    for node_id in block.nodes:
        run.refuse(node_id, reason)


def _place_block(run: _Pass, block: AllocBlock) -> None:
    draft, codes = run.draft, run.draft.tables.codes
    node_codes = codes.codes_for(block.nodes, block.node_names)
    current = codes.epochs_of(node_codes)
    moved = current != np.array(block.node_epochs, dtype=np.int64)
    if moved.any():
        rows = node_rows(block)
        keep = ~moved[rows]
        # a node that no row refers to (the plan's check took its rows out) leaves nothing out.
        for position in np.unique(rows[~keep]).tolist():
            run.refuse(block.nodes[position], _node_reason(int(current[position])))
        if not keep.any():
            return
        if not keep.all():
            block = only_rows(block, keep)
    if block.eval_id and _is_known(run, block):
        _refuse_block(run, block, "these allocations are stored already")
        return
    if len(draft.tables.volumes):
        block = _within_volumes(run, block)
        if not block.count:
            return
    block = replace(block, create_index=draft.index, create_time_ns=draft.time_ns)
    draft.add_block(block, node_codes.astype("<u4").tobytes())
    if len(draft.tables.volumes):
        for row in range(block.count if _sticky(run, block.job_version, block.task_group) else 0):
            _claim(run, block.row(row))
    run.blocks.append(block)
    run.placed += block.count


def _within_volumes(run: _Pass, block: AllocBlock) -> AllocBlock:
    """Its rows that may have the dynamic volumes of their nodes."""
    draft, job = run.draft, run.versions[block.job_version]
    group = job.group(block.task_group)
    if group is None or not group.volumes:
        return block
    keep = np.ones(block.count, dtype=np.bool_)
    for row, position in enumerate(node_rows(block).tolist()):
        node_id, index = block.nodes[position], block.row(row).index
        reason = refused(draft, job, group, node_id, index)
        if reason:
            run.refuse(block.alloc_id(row), reason)
            keep[row] = False
    return block if keep.all() else only_rows(block, keep)


def _is_known(run: _Pass, block: AllocBlock) -> bool:
    """A plan that is proposed twice brings the same evaluation's same ids again."""
    tables = run.draft.tables
    known = tables.allocs.blocks_of_eval(block.eval_id)
    if not known:
        return False
    ids = {block.ids[16 * row : 16 * row + 16] for row in range(block.count)}
    for entry in known:
        held = entry.facts.ids
        if any(held[16 * row : 16 * row + 16] in ids for row in range(entry.facts.count)):
            return True
    return False


def _place_alloc(run: _Pass, alloc: Allocation, moved: str) -> None:
    tables = run.draft.tables
    node = tables.nodes.get(alloc.node_id)
    epoch = run.command.node_epochs.get(alloc.node_id)
    if moved:
        run.refuse(alloc.id, moved)
    elif alloc.job_version not in run.versions:
        run.refuse(alloc.id, f"job version {alloc.job_version} is gone")
    elif node is None or node.epoch != epoch:
        run.refuse(alloc.id, _node_reason(node.epoch if node else GONE))
    elif alloc.id in tables.allocs:
        run.refuse(alloc.id, "this allocation is stored already")
    elif len(tables.volumes) and (reason := _without_volumes(run, alloc)):
        run.refuse(alloc.id, reason)
    else:
        _store_alloc(run, alloc)


def _without_volumes(run: _Pass, alloc: Allocation) -> str:
    """Why it may not have the dynamic volumes of its node; "" when it may."""
    job = run.versions[alloc.job_version]
    group = job.group(alloc.task_group)
    if group is None or not group.volumes:
        return ""
    return refused(run.draft, job, group, alloc.node_id, alloc.index)


def _claim(run: _Pass, alloc: Allocation) -> None:
    """Write down what a stored placement has claimed."""
    job = run.versions[alloc.job_version]
    group = job.group(alloc.task_group)
    if group is not None:
        claim_volumes(run.draft, job, group, alloc)


def _sticky(run: _Pass, version: int, name: str) -> bool:
    group = run.versions[version].group(name)
    return group is not None and any(request.sticky for request in group.volumes.values())


def _store_alloc(run: _Pass, alloc: Allocation) -> None:
    draft = run.draft
    draft.add_alloc(
        replace(
            alloc,
            create_index=draft.index,
            modify_index=draft.index,
            alloc_modify_index=draft.index,
            create_time_ns=draft.time_ns,
            modify_time_ns=draft.time_ns,
        )
    )
    run.rows.add(alloc.id)
    run.placed += 1
    if len(draft.tables.volumes) and _sticky(run, alloc.job_version, alloc.task_group):
        _claim(run, alloc)
    before = draft.tables.allocs.get(alloc.previous_allocation) if alloc.previous_allocation else None
    if before is not None and before.id != alloc.id:
        after = replace(
            before, next_allocation=alloc.id, modify_index=draft.index, modify_time_ns=draft.time_ns
        )
        draft.put_alloc(before, after)


def _stop(run: _Pass, stop: AllocStop) -> None:
    draft = run.draft
    before = draft.tables.allocs.get(stop.alloc_id)
    if before is None:
        draft.drop(stop.alloc_id, "there is no such allocation")
        return
    if stop.replaced_by and not run.committed(stop.replaced_by):
        draft.drop(stop.alloc_id, f"its replacement {stop.replaced_by} was not placed; it goes on")
        return
    evicted = stop.desired_status == DesiredStatus.EVICT
    if evicted and before.terminal:
        return
    # the node's word that it ended wins over the plan's.
    status = stop.client_status if stop.client_status and not before.client_terminal else None
    wanted = before.server_terminal
    after = replace(
        before,
        desired_status=before.desired_status if wanted else stop.desired_status,
        desired_description=before.desired_description if wanted else stop.desired_description,
        client_status=status or before.client_status,
        client_description=stop.desired_description if status else before.client_description,
        followup_eval_id=stop.followup_eval_id or before.followup_eval_id,
        away_since_ns=draft.time_ns if status == ClientStatus.LOST else before.away_since_ns,
        preempted_by_allocation=stop.replaced_by if evicted else before.preempted_by_allocation,
        modify_index=draft.index,
        modify_time_ns=draft.time_ns,
        alloc_modify_index=draft.index,
    )
    draft.put_alloc(before, after)


def _update(run: _Pass, update: InPlaceUpdate, moved: str) -> None:
    draft = run.draft
    before = draft.tables.allocs.get(update.alloc_id)
    if before is None or before.terminal:
        draft.drop(update.alloc_id, "there is no such running allocation")
        return
    if moved or update.job_version not in run.versions:
        run.refuse(update.alloc_id, moved or f"job version {update.job_version} is gone")
        return
    joins = update.deployment_id != before.deployment_id
    after = replace(
        before,
        # health is judged anew for each deployment
        deployment_status=None if joins and update.deployment_id else before.deployment_status,
        job_version=update.job_version,
        job_spec_index=update.job_spec_index,
        allocated_resources=update.allocated_resources,
        deployment_id=update.deployment_id,
        modify_index=draft.index,
        modify_time_ns=draft.time_ns,
        alloc_modify_index=draft.index,
    )
    draft.put_alloc(before, after)


def _mark(run: _Pass, mark: AllocMark) -> None:
    draft = run.draft
    before = draft.tables.allocs.get(mark.alloc_id)
    if before is None:
        draft.drop(mark.alloc_id, "there is no such allocation")
        return
    after = before
    if mark.unknown:
        node = draft.tables.nodes.get(before.node_id)
        if before.terminal or node is None or node.status not in AWAY:
            draft.drop(mark.alloc_id, "it is over, or its node is in sight again")
            return
        after = replace(
            after,
            client_status=ClientStatus.UNKNOWN,
            client_description="its node is out of sight",
            away_since_ns=draft.time_ns,
        )
    if mark.reconnected:
        # its replacement, if it had one, is gone: when it fails, it is its own policy's turn
        after = replace(after, away_since_ns=0, next_allocation="")
    if mark.followup_eval_id is not None:
        after = replace(after, followup_eval_id=mark.followup_eval_id)
    if mark.reschedule_tracker is not None:
        after = replace(after, reschedule_tracker=mark.reschedule_tracker)
    if after != before:
        draft.put_alloc(before, replace(after, modify_index=draft.index, modify_time_ns=draft.time_ns))


def _node_reason(epoch: int) -> str:
    return "the node is gone" if epoch == GONE else f"the node has changed (its epoch is now {epoch})"


def _holds(block: AllocBlock, raw: bytes) -> bool:
    at = block.ids.find(raw)
    while at >= 0 and at % 16:
        at = block.ids.find(raw, at + 1)
    return at >= 0
