"""Apply: deployments begin, change, are promoted, and end. Pure.

Theory: one entry does the whole of a change. In particular the entry that fails a deployment also takes its job back
to the newest version that was known to be good, so that no crash falls between the two. A deployment that is over
takes no update, and a promotion is never undone.

Not here: counters and clocks that follow from allocations (`rollout_counts`); when to do what (the watcher).

Source: spec/scheduler.md 1.7, 6.7, 6.8.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.alloc import Allocation, AllocHealth
from daemon.model.deployment import Deployment, DeploymentChange, GroupDeployment, words_of
from daemon.model.enums import DeploymentStatus
from daemon.model.errors import Conflict, EncampError, InvalidInput, NotFound
from daemon.model.evaluation import Evaluation
from daemon.state.apply_jobs import add_version
from daemon.state.apply_tags import set_stable
from daemon.state.changes import DeploymentChanged
from daemon.state.commands import DeploymentHealth, DeploymentPromote, DeploymentStatusUpdate
from daemon.state.draft import Draft
from daemon.state.job_versions import newest_stable, repeated, same_spec
from daemon.state.rollout_counts import restarted, stopped

NEWER = "a newer version of the job has taken its place"
BY_HAND = "allocations were marked as unhealthy by hand"


def begin_deployment(draft: Draft, wanted: Deployment, moved: str) -> None:
    """Store the deployment that a plan brings; one that is known keeps what has happened to it.

    `moved`: why the plan's job is not what it was, if so.
    """
    stored = draft.tables.deployments.get(wanted.id)
    if stored is not None and not stored.active:
        draft.drop(wanted.id, f"the deployment is already {stored.status}")
        return
    if moved:
        draft.drop(wanted.id, moved)
        return
    older = draft.tables.deployments.active_of((wanted.namespace, wanted.job_id))
    if older is not None and older.id != wanted.id:
        _set_status(draft, older, DeploymentStatus.CANCELLED, NEWER)
    known = stored.task_groups if stored is not None else {}
    fresh = {name: _kept(known.get(name), group) for name, group in wanted.task_groups.items()}
    groups = {**known, **fresh}
    if stored is not None:
        draft.put_deployment(replace(stored, task_groups=groups))
    else:
        draft.put_deployment(replace(wanted, task_groups=groups))


def _kept(stored: GroupDeployment | None, wanted: GroupDeployment) -> GroupDeployment:
    """What is wanted of the group, with what has happened to it."""
    seen = stored or GroupDeployment()
    return replace(
        wanted,
        promoted=seen.promoted,
        placed_canaries=seen.placed_canaries,
        placed_allocs=seen.placed_allocs,
        healthy_allocs=seen.healthy_allocs,
        unhealthy_allocs=seen.unhealthy_allocs,
        require_progress_by_ns=seen.require_progress_by_ns,
    )


def change_deployment(draft: Draft, change: DeploymentChange) -> None:
    """A plan ends a deployment; one that is over already stays as it is."""
    row = draft.tables.deployments.get(change.deployment_id)
    refused = _refusal(row, change.deployment_id)
    if row is None or refused is not None:
        draft.drop(change.deployment_id, str(refused))
        return
    _set_status(draft, row, change.status, change.status_description)


def apply_status(draft: Draft, command: DeploymentStatusUpdate) -> None:
    """Change a deployment's status, and take its job back if asked."""
    change = command.change
    row = _open(draft, change.deployment_id)
    if row is None:
        return
    words, reverted = change.status_description, -1
    if command.revert and change.status == DeploymentStatus.FAILED:
        words, reverted = _revert(draft, row, words)
    _set_status(draft, row, change.status, words)
    _answer(draft, row, command.evaluation, reverted)


def apply_promote(draft: Draft, command: DeploymentPromote) -> None:
    """Let groups roll on, if enough of their canaries are healthy."""
    row = _open(draft, command.deployment_id)
    if row is None:
        return
    canaried = [n for n, group in row.task_groups.items() if group.desired_canaries and not group.promoted]
    named = canaried if command.groups is None else list(dict.fromkeys(command.groups))
    unknown = [name for name in named if name not in row.task_groups]
    waiting = [name for name in named if name in canaried]
    problems = [f"it has no group {name!r}" for name in unknown]
    if not waiting and not unknown:
        problems.append("no canaries wait to be promoted" + (f" in {', '.join(named)}" if named else ""))
    problems += [words for name in waiting if (words := _unready(draft, name, row.task_groups[name]))]
    if problems:
        draft.changes.result = InvalidInput(
            f"deployment {row.id} cannot be promoted: " + "; ".join(problems),
            deployment_id=row.id,
            problems=problems,
        )
        return
    groups = {
        name: replace(group, promoted=group.promoted or name in waiting)
        for name, group in row.task_groups.items()
    }
    after = replace(row, task_groups=groups)
    if after.status == DeploymentStatus.RUNNING:
        after = replace(after, status_description=words_of(groups.values()))
        after = restarted(after, draft.time_ns, waiting)
    draft.put_deployment(after)
    for name in waiting:
        _unmark(draft, row.task_groups[name])
    _answer(draft, row, command.evaluation, -1)


def apply_health(draft: Draft, command: DeploymentHealth) -> None:
    """Store health that was judged by hand; an unhealthy allocation ends the deployment."""
    row = _open(draft, command.deployment_id)
    if row is None:
        return
    judged = {**dict.fromkeys(command.healthy, True), **dict.fromkeys(command.unhealthy, False)}
    found = {alloc_id: draft.tables.allocs.get(alloc_id) for alloc_id in judged}
    foreign = [id_ for id_, alloc in found.items() if alloc is None or alloc.deployment_id != row.id]
    if foreign:
        draft.changes.result = NotFound(
            f"deployment {row.id} has no allocation {', '.join(foreign)}; nothing was changed",
            deployment_id=row.id,
        )
        return
    for alloc_id, before in found.items():
        if before is not None:
            _judge(draft, before, judged[alloc_id])
    reverted = -1
    if command.unhealthy:
        draft.count_rollouts()
        row = draft.tables.deployments.get(row.id) or row
        words = BY_HAND
        if command.revert:
            words, reverted = _revert(draft, row, words)
        _set_status(draft, row, DeploymentStatus.FAILED, words)
    _answer(draft, row, command.evaluation, reverted)


def _judge(draft: Draft, before: Allocation, healthy: bool) -> None:
    canary = before.deployment_status.canary if before.deployment_status is not None else False
    health = AllocHealth(healthy=healthy, timestamp_ns=draft.time_ns, canary=canary, modify_index=draft.index)
    _put_health(draft, before, health)


def _put_health(draft: Draft, before: Allocation, health: AllocHealth) -> None:
    after = replace(before, deployment_status=health, modify_index=draft.index, modify_time_ns=draft.time_ns)
    draft.put_alloc(before, after)


def _unmark(draft: Draft, group: GroupDeployment) -> None:
    """A promoted canary is an allocation like any other."""
    for alloc_id in group.placed_canaries:
        before = draft.tables.allocs.get(alloc_id)
        if before is not None and before.deployment_status is not None and before.deployment_status.canary:
            _put_health(
                draft, before, replace(before.deployment_status, canary=False, modify_index=draft.index)
            )


def _unready(draft: Draft, name: str, group: GroupDeployment) -> str:
    """Why the group's canaries may not be promoted yet, or ""."""
    canaries = [draft.tables.allocs.get(alloc_id) for alloc_id in group.placed_canaries]
    healthy = sum(
        1
        for alloc in canaries
        if alloc is not None
        and not alloc.terminal
        and alloc.deployment_status is not None
        and alloc.deployment_status.healthy
    )
    if healthy >= group.desired_canaries:
        return ""
    return f"group {name!r} has {healthy} healthy canaries of {group.desired_canaries}"


def _open(draft: Draft, deployment_id: str) -> Deployment | None:
    """The deployment, if it may still be updated; else the refusal is the result."""
    row = draft.tables.deployments.get(deployment_id)
    refused = _refusal(row, deployment_id)
    if refused is not None:
        draft.changes.result = refused
        return None
    return row


def _refusal(row: Deployment | None, deployment_id: str) -> EncampError | None:
    if row is None:
        return NotFound(f"deployment not found: {deployment_id!r}", deployment_id=deployment_id)
    if not row.active:
        return Conflict(
            f"deployment {row.id} is already {row.status} and takes no update", deployment_id=row.id
        )
    return None


def _set_status(draft: Draft, row: Deployment, status: DeploymentStatus, words: str) -> None:
    if status == DeploymentStatus.PAUSED:
        row = stopped(row)
    elif status == DeploymentStatus.RUNNING and row.status == DeploymentStatus.PAUSED:
        row = restarted(row, draft.time_ns)
    elif status == DeploymentStatus.SUCCESSFUL:
        set_stable(draft, (row.namespace, row.job_id), row.job_version, True)
    draft.put_deployment(replace(row, status=status, status_description=words))


def _revert(draft: Draft, row: Deployment, words: str) -> tuple[str, int]:
    """Take the job back to the newest stable version. Returns the description, and the version or -1."""
    key = (row.namespace, row.job_id)
    job = draft.tables.jobs.get(key)
    if job is None or job.stop or job.version != row.job_version:
        return f"{words}; the job has changed since, and is left as it is", -1
    stable = newest_stable(draft.tables.old_versions.get(key) or ())
    if stable is None:
        return f"{words}; there is no stable version to go back to", -1
    if same_spec(stable, job):
        return f"{words}; the newest stable version ({stable.version}) asks for the same as this one", -1
    source = (draft.tables.sources.get(key) or {}).get(stable.version)
    add_version(draft, job, repeated(stable, draft.time_ns), source)
    return f"{words}; the job goes back to version {stable.version}", stable.version


def _answer(draft: Draft, row: Deployment, evaluation: Evaluation | None, reverted: int) -> None:
    job = draft.tables.jobs.get((row.namespace, row.job_id))
    stored = ""
    if evaluation is not None and job is not None:
        draft.put_eval(replace(evaluation, job_modify_index=job.job_modify_index))
        stored = evaluation.id
    draft.changes.result = DeploymentChanged(deployment_id=row.id, eval_id=stored, reverted_version=reverted)
