"""When a submitted job has become what was asked for: healthy, complete or stopped. Pure.

Theory: a judge is fed the job's allocations and the time until it gives a verdict. Only allocations of the submitted
version count. The node's own word on health wins; where it gives none, tasks that were seen running for
min_healthy_time (and a little) are taken as healthy. A verdict of success is given only when it is true at that
moment; every wait is bounded by the job's own deadlines, counted anew with every allocation that becomes healthy.

Source: spec/nomad-surface.md E, row 1; users/wants.md 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from daemon.cli.text import clean, span
from daemon.cli.views.allocs import last_words
from daemon.cli.watch import Line
from daemon.model.alloc import Allocation
from daemon.model.base import NS_PER_S
from daemon.model.enums import ClientStatus, DesiredStatus, JobType
from daemon.model.job import Job, TaskGroup
from daemon.model.policies import UpdateStrategy

#: how much longer a node may take to report health than the tasks have been seen running.
GRACE_S = 5.0


class Outcome(StrEnum):
    """How following a job ended."""

    HEALTHY = "healthy"
    PROMOTABLE = "promotable"
    PLACED = "placed"
    COMPLETE = "complete"
    STOPPED = "stopped"
    REGISTERED = "registered"
    BLOCKED = "blocked"
    UNHEALTHY = "unhealthy"
    FAILED = "failed"
    TIMED_OUT = "timed-out"


_GOOD = frozenset(Outcome) - {Outcome.BLOCKED, Outcome.UNHEALTHY, Outcome.FAILED, Outcome.TIMED_OUT}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of following. `lines` say why, for a person."""

    outcome: Outcome
    headline: str
    lines: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: it is true; 2: something could not be placed; 1: anything else."""
        if self.outcome in _GOOD:
            return 0
        return 2 if self.outcome is Outcome.BLOCKED else 1


@dataclass(slots=True)
class _Progress:
    """What a judge remembers of one group."""

    healthy: int = -1
    since_s: float = 0.0


@dataclass(slots=True)
class HealthJudge:
    """Decides whether a service or system job is healthy."""

    job: Job
    version: int
    started_s: float
    _groups: dict[str, _Progress] = field(default_factory=dict)
    #: allocation id -> (restarts seen, since when its tasks have been seen running).
    _running: dict[str, tuple[int, float]] = field(default_factory=dict)

    def step(
        self,
        now_s: float,
        allocs: Sequence[Allocation],
        *,
        patient: bool = False,
        forgiven: frozenset[str] = frozenset(),
    ) -> tuple[list[Line], Verdict | None]:
        """Lines for what has changed, and the verdict when there is one.

        `patient`: nothing is late; `forgiven`: groups in which a failure is somebody else's matter.
        """
        current = [
            each
            for each in allocs
            if each.job_version == self.version
            and each.desired_status == DesiredStatus.RUN
            and not each.next_allocation
        ]
        bad = next((each for each in current if _unhealthy(each) and each.task_group not in forgiven), None)
        if bad is not None:
            return [], _unhealthy_verdict(self.job, bad)
        lines: list[Line] = []
        complete = True
        for group in self.job.task_groups:
            mine = [each for each in current if each.task_group == group.name]
            wanted = len(mine) if self.job.type == JobType.SYSTEM else group.count
            healthy = sum(self._is_healthy(now_s, each, group) for each in mine)
            progress = self._groups.setdefault(group.name, _Progress(since_s=self.started_s))
            if healthy != progress.healthy:
                progress.healthy, progress.since_s = healthy, now_s
                lines.append(Line(f'Group "{clean(group.name)}": {healthy} of {wanted} healthy'))
            if healthy < wanted:
                complete = False
                limit_s = update_of(self.job, group).healthy_deadline_ns / NS_PER_S
                if not patient and now_s - progress.since_s > limit_s + GRACE_S:
                    return lines, self._late(group, healthy, wanted, mine, limit_s)
        if complete and self.job.type == JobType.SYSTEM and not current and self.job.task_groups:
            return lines, Verdict(
                Outcome.BLOCKED,
                f'Job "{self.job.id}" runs nowhere: no node is eligible; it is placed when one joins',
            )
        return lines, self._success(current) if complete else None

    def _success(self, current: Sequence[Allocation]) -> Verdict:
        count = len(current)
        what = "all its allocations are healthy" if count != 1 else "its allocation is healthy"
        text = f"{count} running, {what}" if count else "nothing was asked to run"
        return Verdict(Outcome.HEALTHY, f'Job "{self.job.id}" is up: {text}')

    def _is_healthy(self, now_s: float, alloc: Allocation, group: TaskGroup) -> bool:
        if alloc.client_status != ClientStatus.RUNNING:
            self._running.pop(alloc.id, None)
            return False
        if alloc.deployment_status is not None and alloc.deployment_status.healthy is not None:
            return alloc.deployment_status.healthy
        restarts = sum(state.restarts for state in alloc.task_states.values())
        seen = self._running.get(alloc.id)
        if seen is None or seen[0] != restarts:
            seen = self._running[alloc.id] = (restarts, now_s)
        return now_s - seen[1] >= update_of(self.job, group).min_healthy_time_ns / NS_PER_S + GRACE_S

    def _late(
        self, group: TaskGroup, healthy: int, wanted: int, mine: Iterable[Allocation], limit_s: float
    ) -> Verdict:
        words = [
            line for each in mine if each.client_status != ClientStatus.RUNNING for line in last_words(each)
        ]
        return Verdict(
            Outcome.TIMED_OUT,
            f'Job "{self.job.id}": group "{group.name}" has {healthy} of {wanted} healthy, and none more became so '
            f"within its healthy_deadline of {span(limit_s)}",
            tuple(words[:5]),
        )


def update_of(job: Job, group: TaskGroup) -> UpdateStrategy:
    """The rules for health of a group: its own, the job's, or the defaults."""
    return group.update or job.update or UpdateStrategy()


def _unhealthy(alloc: Allocation) -> bool:
    said = alloc.deployment_status.healthy if alloc.deployment_status else None
    return alloc.client_status == ClientStatus.FAILED or (said is False and not alloc.client_terminal)


def _unhealthy_verdict(job: Job, alloc: Allocation) -> Verdict:
    word = "has failed" if alloc.client_status == ClientStatus.FAILED else "is unhealthy"
    then = " It will be replaced as the reschedule block says." if alloc.followup_eval_id else ""
    id_ = alloc.id[:8]
    return Verdict(
        Outcome.UNHEALTHY,
        f'Job "{job.id}": allocation "{id_}" of group "{alloc.task_group}" {word}.{then}',
        (
            *last_words(alloc),
            f"`encamp alloc status {id_}` and `encamp alloc logs -stderr {id_}` show more.",
        ),
    )


def judge_complete(job: Job, status: str, version: int, allocs: Sequence[Allocation]) -> Verdict | None:
    """Whether a batch job is over, and how: by the job's own status, then by the newest allocation of each name."""
    if status != "dead":
        return None
    everywhere = job.type == JobType.SYSBATCH
    newest: dict[tuple[str, str], Allocation] = {}
    for each in sorted(allocs, key=lambda each: each.create_index):
        if each.job_version == version:
            newest[each.name, each.node_id if everywhere else ""] = each
    bad = [
        each for each in newest.values() if each.client_status != ClientStatus.COMPLETE or _any_failed(each)
    ]
    if not bad and newest:
        return Verdict(Outcome.COMPLETE, f'Job "{job.id}" is complete')
    if not newest:
        return Verdict(Outcome.FAILED, f'Job "{job.id}" is over, and nothing of version {version} has run')
    words = [line for each in bad[:3] for line in last_words(each)]
    shown = ", ".join(f'"{each.id[:8]}" ({each.client_status})' for each in bad[:5])
    return Verdict(Outcome.FAILED, f'Job "{job.id}" has failed: allocation {shown}', tuple(words))


def _any_failed(alloc: Allocation) -> bool:
    return any(state.failed for state in alloc.task_states.values())


def judge_stopped(job_id: str, allocs: Sequence[Allocation]) -> tuple[int, Verdict | None]:
    """How many allocations still run after a stop, and the verdict when none does."""
    left = sum(not each.client_terminal for each in allocs)
    return left, None if left else Verdict(Outcome.STOPPED, f'Job "{job_id}" has stopped')


def stop_limit_s(job: Job) -> float:
    """How long a stop may take: delays and kill timeouts of the slowest group, one after the other, and a margin."""
    slowest = 0
    for group in job.task_groups:
        tasks = sum(task.kill_timeout_ns + task.shutdown_delay_ns for task in group.tasks)
        slowest = max(slowest, group.shutdown_delay_ns + tasks)
    return slowest / NS_PER_S + 30
