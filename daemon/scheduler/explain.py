"""Why a job is not, or not wholly, running: in plain words. Pure.

Theory: the scheduler leaves counts, the nearest miss and suggestions in each failed group's metric; allocations that
failed leave their policy's verdict. This turns both into sentences, most telling first, and says what would help.

Not here: fetching any of it; printing (the command line indents and colours).

Source: users/wants.md 1, 2.
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.model.alloc import Allocation
from daemon.model.base import NS_PER_S
from daemon.model.enums import ClientStatus, EvalStatus, JobType, Trigger
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, TaskGroup
from daemon.model.metrics import AllocMetric
from daemon.scheduler import reschedule

_SHORTAGES = {
    "cpu": "too little free CPU",
    "memory": "too little free memory",
    "disk": "too little free disk",
    "allocations": "the node's limit of allocations reached",
    "ports": "too few free dynamic ports",
}


def explain(
    job: Job | None,
    evaluation: Evaluation | None,
    *,
    allocs: Iterable[Allocation] = (),
    now_ns: int = 0,
    blocked: Evaluation | None = None,
) -> list[str]:
    """Sentences about the job; empty when nothing is wrong.

    `evaluation` is the job's latest; `blocked` the one that waits for room, when there is one.
    """
    if job is None:
        return ["there is no such job"]
    if job.stop:
        return [f'job "{job.id}" is stopped; running it again starts it']
    lines: list[str] = []
    if evaluation is None:
        lines.append(f'job "{job.id}" has not been evaluated yet')
    else:
        lines.extend(_of_evaluation(job, evaluation, now_ns))
    source = blocked or evaluation
    for name, metric in source.failed_tg_allocs.items() if source else ():
        lines.extend(
            explain_group(job, name, metric, source.queued_allocations.get(name, 0) if source else 0)
        )
    if blocked is not None:
        lines.append(_what_wakes(blocked))
    lines.extend(_of_allocations(job, allocs, now_ns))
    return lines


def explain_group(job: Job, name: str, metric: AllocMetric, missing: int = 0) -> list[str]:
    """Why a group found no node, from its metric."""
    group = job.group(name)
    count = group.count if group else 0
    missing = missing or metric.coalesced_failures + 1
    if job.type in (JobType.SYSTEM, JobType.SYSBATCH):
        lines = [f'group "{name}": {_plural(missing, "node")} should run it and cannot']
    else:
        lines = [f'group "{name}": {missing} of {_plural(count, "allocation")} found no node']
    lines.extend(f"  {line}" for line in explain_metric(job, metric))
    return lines


def explain_metric(job: Job, metric: AllocMetric) -> list[str]:
    """What removed the nodes, the nearest miss, and what would help."""
    lines = _location(job, metric)
    for reason, count in sorted(metric.constraint_filtered.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"{_plural(count, 'node')} removed: {reason}")
    for dimension, count in sorted(metric.dimension_exhausted.items(), key=lambda item: (-item[1], item[0])):
        words = _SHORTAGES.get(dimension, f"{dimension} in use")
        lines.append(f"{_plural(count, 'node')} without room: {words}")
    near = metric.nearest_miss
    if near is not None and near.lacks:
        lines.append(f'nearest miss: node "{near.node_name or near.node_id[:8]}": {"; ".join(near.lacks)}')
    lines.extend(f"would help: {text}" for text in metric.suggestions)
    if near is not None and not metric.suggestions:
        lines.append("no single change would place it")
    return lines


def _location(job: Job, metric: AllocMetric) -> list[str]:
    if metric.nodes_registered == 0 and metric.nodes_in_pool == 0:
        return ["no node has joined the cluster"]
    if metric.nodes_in_pool == 0:
        return [f'none of {_plural(metric.nodes_registered, "node")} is in node pool "{job.node_pool}"']
    if metric.nodes_in_datacenters == 0:
        asked = ", ".join(f'"{glob}"' for glob in job.datacenters)
        return [f"none of {_plural(metric.nodes_in_pool, 'node')} is in a datacenter matching {asked}"]
    if not metric.nodes_not_ready:
        return []
    states = ", ".join(f"{count} {state}" for state, count in sorted(metric.nodes_not_ready.items()))
    total = _plural(metric.nodes_in_datacenters, "node")
    return [f"of {total} there, these take no new work: {states}"]


def _of_evaluation(job: Job, evaluation: Evaluation, now_ns: int) -> list[str]:
    status = evaluation.status
    if status == EvalStatus.PENDING:
        if evaluation.wait_until_ns > now_ns:
            wait = _seconds(evaluation.wait_until_ns - now_ns)
            why = (
                "failed work is replaced then"
                if evaluation.triggered_by == Trigger.ALLOC_RESCHEDULE
                else "retry"
            )
            return [f"the next evaluation is due in {wait} ({why})"]
        return ["its evaluation waits for a worker of the scheduler"]
    if status == EvalStatus.FAILED:
        return [f"its evaluation failed: {evaluation.status_description or 'no reason was given'}"]
    if status == EvalStatus.CANCELED:
        return [
            f"its evaluation was canceled: {evaluation.status_description or 'a newer one took its place'}"
        ]
    if evaluation.triggered_by == Trigger.MAX_PLAN_ATTEMPTS and status == EvalStatus.BLOCKED:
        return ["other jobs kept taking the room that its plans counted on; it is tried again every minute"]
    return []


def _what_wakes(blocked: Evaluation) -> str:
    if blocked.node_id:
        return f"it is tried again when node {blocked.node_id[:8]} gains room or changes"
    if blocked.triggered_by == Trigger.MAX_PLAN_ATTEMPTS:
        return "it is tried again every minute"
    return "it is tried again as soon as a node that could serve gains room or joins"


def _of_allocations(job: Job, allocs: Iterable[Allocation], now_ns: int) -> list[str]:
    lines = []
    waiting: dict[str, int] = {}
    for alloc in sorted(allocs, key=lambda alloc: (alloc.name, alloc.create_index, alloc.id)):
        group = job.group(alloc.task_group)
        if group is None or alloc.server_terminal:
            continue
        if alloc.client_status == ClientStatus.FAILED and not alloc.next_allocation:
            lines.append(_failed(job, group, alloc, now_ns))
        elif alloc.client_status == ClientStatus.PENDING:
            lines.append(
                f'{alloc.name} is placed on node "{alloc.node_name}", which has not started it{_event(alloc)}'
            )
        elif alloc.client_status == ClientStatus.UNKNOWN:
            lines.append(f'{alloc.name} is on node "{alloc.node_name}", which is out of reach')
        elif alloc.job_version != job.version:
            waiting[group.name] = waiting.get(group.name, 0) + 1
    for name, count in sorted(waiting.items()):
        lines.append(
            f'group "{name}": {_plural(count, "allocation")} of an older version waiting until newer ones are healthy'
        )
    return lines


def _failed(job: Job, group: TaskGroup, alloc: Allocation, now_ns: int) -> str:
    where = f'{alloc.name} failed on node "{alloc.node_name}"{_event(alloc)}'
    policy = group.reschedule_policy
    if policy is None or not reschedule.enabled(policy):
        return f"{where}; its group is not rescheduled"
    due = reschedule.due_at_ns(alloc, policy)
    if due is None:
        return f"{where}; all its reschedule attempts ({policy.attempts}) are used up"
    if alloc.reschedule_tracker and alloc.reschedule_tracker.last_reschedule == reschedule.NO_PLACEMENT:
        return f"{where}; no other node can take it now"
    return f"{where}; it is replaced in {_seconds(max(0, due - now_ns))}"


def _event(alloc: Allocation) -> str:
    """The last thing its tasks said."""
    events = [
        (event.time_ns, name, event.display_message or event.message or event.type)
        for name, state in alloc.task_states.items()
        for event in state.events
    ]
    if not events:
        return f": {alloc.client_description}" if alloc.client_description else ""
    _, task, words = max(events)
    return f': task "{task}": {words}'


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _seconds(duration_ns: int) -> str:
    return f"{-(-duration_ns // NS_PER_S)} s"
