"""Why a job is not where it should be: the answer of `job why`. Pure.

Theory: what the scheduler could not place is in the metrics of the job's latest evaluations; what was placed and
does not run is in the task events. Both are put into plain words here, the most important line first.

Source: users/wants.md 1, 2.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, DesiredStatus, EvalStatus, JobType, TaskStateName
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, TaskGroup
from daemon.model.metrics import AllocMetric
from daemon.rpc.messages import GroupWhy, JobWhyResponse
from daemon.scheduler.explain import explain_metric
from daemon.server.context import is_system
from daemon.server.why_nodes import quarantine_lines
from daemon.server.why_turn import limit_lines, waiting_for_turn
from daemon.state.state import State

#: task events that say why something does not run, the most telling first.
_TELLING = ("Setup Failure", "Driver Failure", "Failed Validation", "Disk Resources Exceeded", "Terminated",
            "Restarting", "Sibling Task Failed", "Leader Task Dead", "Killing")  # fmt: skip


def explanations(state: State, evaluation: Evaluation) -> dict[str, tuple[str, ...]]:
    """Plain words per group that the evaluation could not place."""
    job = state.job(evaluation.namespace, evaluation.job_id)
    if job is None:
        return {}
    return {
        group: tuple(explain_metric(job, metric)) for group, metric in evaluation.failed_tg_allocs.items()
    }


def why(state: State, job: Job) -> JobWhyResponse:
    """The whole answer for one job."""
    evals = sorted(state.evals_by_job(*job.key), key=lambda e: (e.modify_index, e.create_index), reverse=True)
    blocked = next((e for e in evals if e.status == EvalStatus.BLOCKED), None)
    allocs = list(state.allocs_by_job(*job.key))
    groups = tuple(
        _with_nodes(state, job, _group(job, group, evals, allocs), allocs) for group in job.task_groups
    )
    turn = waiting_for_turn(state, job)
    ok = not job.stop and not turn and all(not group.lines for group in groups)
    return JobWhyResponse(
        index=state.index,
        id=job.id,
        status=job.status.value,
        ok=ok,
        headline=turn or _headline(job, groups, evals, paused=state.scheduler_config.pause_eval_broker),
        groups=groups,
        blocked_eval=blocked.id if blocked is not None else "",
    )


def _headline(job: Job, groups: tuple[GroupWhy, ...], evals: list[Evaluation], *, paused: bool) -> str:
    if job.stop:
        return f"stopped (version {job.version}); run it again to start it."
    waiting = [e for e in evals if e.status == EvalStatus.PENDING and not e.wait_until_ns]
    if waiting:
        if paused:
            return "evaluations are paused by an operator (pause_eval_broker); this job's waits with them."
        return f"its evaluation {waiting[0].id[:8]} is not finished yet."
    bad = [group for group in groups if group.lines]
    if not bad:
        running = sum(group.running for group in groups)
        return f"as it should be: {running} running."
    missing = sum(group.missing for group in bad)
    if not missing:
        share = f"{len(bad)} of {len(groups)} groups"
        if not any(group.metric for group in bad):
            return f"nothing is missing, but {share} have trouble."
        return f"all that should run does, but {share} could not be brought to version {job.version}."
    return f"{len(bad)} of {len(groups)} groups are not as they should be, {missing} missing."


def _group(job: Job, group: TaskGroup, evals: list[Evaluation], allocs: list[Allocation]) -> GroupWhy:
    mine = [alloc for alloc in allocs if alloc.task_group == group.name]
    live = [alloc for alloc in mine if not alloc.terminal]
    running = [alloc for alloc in live if alloc.client_status == ClientStatus.RUNNING]
    done = [
        alloc for alloc in mine if alloc.client_status == ClientStatus.COMPLETE and not alloc.server_terminal
    ]
    metric = None if job.stop else _latest_metric(evals, group.name)
    lines: list[str] = []
    if metric is not None:
        lines.extend(explain_metric(job, metric))
    if not job.stop:
        lines.extend(_allocation_lines(job, group, mine))
        lines.extend(_failed_evaluation_lines(evals, metric))
        lines.extend(limit_lines(job, group, mine))
    desired = group.count if not is_system(job) else len(live) + len(done)
    counted = len(running) + (len(done) if job.type in (JobType.BATCH, JobType.SYSBATCH) else 0)
    return GroupWhy(
        group=group.name,
        desired=desired,
        running=len(running),
        missing=max(0, desired - counted),
        lines=tuple(lines),
        metric=metric,
    )


def _with_nodes(state: State, job: Job, found: GroupWhy, allocs: list[Allocation]) -> GroupWhy:
    """With what is known of nodes, where the group has trouble."""
    if not found.lines:
        return found
    mine = [alloc for alloc in allocs if alloc.task_group == found.group]
    return replace(found, lines=(*found.lines, *quarantine_lines(state, job, found.metric, mine)))


def _latest_metric(evals: list[Evaluation], group: str) -> AllocMetric | None:
    """What the newest finished or blocked evaluation says of the group; None: it placed all."""
    for evaluation in evals:
        if evaluation.status in (EvalStatus.BLOCKED, EvalStatus.COMPLETE, EvalStatus.FAILED):
            return evaluation.failed_tg_allocs.get(group)
    return None


def _failed_evaluation_lines(evals: list[Evaluation], metric: AllocMetric | None) -> list[str]:
    if not evals or metric is not None or evals[0].status != EvalStatus.FAILED:
        return []
    reason = evals[0].status_description or "without a description"
    return [f"The last evaluation ({evals[0].id[:8]}) failed: {reason}. It is tried again by itself."]


def _allocation_lines(job: Job, group: TaskGroup, mine: list[Allocation]) -> list[str]:
    """Placed, but not running: what its tasks say."""
    lines: list[str] = []
    latest: dict[str, Allocation] = {}
    for alloc in sorted(mine, key=lambda a: (a.create_index, a.id)):
        latest[alloc.name] = alloc
    for alloc in latest.values():
        if alloc.desired_status != DesiredStatus.RUN or alloc.client_status in (
            ClientStatus.RUNNING,
            ClientStatus.COMPLETE,
        ):
            lines.extend(_restarting(alloc))
            continue
        where = f"{alloc.name} ({alloc.id[:8]} on {alloc.node_name or alloc.node_id[:8]})"
        if alloc.client_status == ClientStatus.PENDING:
            lines.append(
                f"{where} is placed and not started yet: {_last_word(alloc) or 'its node has not reported'}"
            )
        elif alloc.client_status == ClientStatus.FAILED:
            lines.append(
                f"{where} failed: {_last_word(alloc) or alloc.client_description}{_next(job, group, alloc)}"
            )
        else:
            lines.append(
                f"{where} is {alloc.client_status.value}: {alloc.client_description or 'its node is away'}"
            )
    return lines


def _restarting(alloc: Allocation) -> list[str]:
    """Tasks of a running allocation that are not running: between two restarts, or dead."""
    if alloc.client_status != ClientStatus.RUNNING:
        return []
    words = []
    for name, state in sorted(alloc.task_states.items()):
        if state.state == TaskStateName.PENDING and state.restarts:
            event = state.events[-1] if state.events else None
            said = event.display_message if event is not None else ""
            words.append(
                f"task {name!r} of {alloc.name} ({alloc.id[:8]}) keeps restarting ({state.restarts}): {said}"
            )
    return words


def _next(job: Job, group: TaskGroup, alloc: Allocation) -> str:
    if alloc.followup_eval_id:
        return f"; it will be replaced by evaluation {alloc.followup_eval_id[:8]}"
    policy = group.reschedule_policy
    if policy is None or (not policy.unlimited and policy.attempts == 0):
        return "; its reschedule policy does not replace it"
    return "" if job.type == JobType.SERVICE else "; its reschedule attempts are used up"


def _last_word(alloc: Allocation) -> str:
    """The most telling task event, newest first."""
    for kind in _TELLING:
        for name, state in sorted(alloc.task_states.items()):
            for event in reversed(state.events):
                if event.type == kind:
                    return f"task {name!r}: {event.type}: {event.display_message or event.message}"
    return ""
