"""Rules of restart, reschedule and update. Pure.

Source: spec/scheduler.md 1.2, spec/nomad-surface.md C5.
"""

from __future__ import annotations

from daemon.jobspec.diagnostics import nearest
from daemon.jobspec.duration import format_duration
from daemon.jobspec.rules.problem import Report
from daemon.model.enums import JobType
from daemon.model.policies import (
    SECOND,
    DisconnectStrategy,
    MigrateStrategy,
    ReschedulePolicy,
    RestartPolicy,
    UpdateStrategy,
)

_RECONCILE = ("best_score", "keep_original", "keep_replacement", "longest_running")
_FUNCTIONS = ("constant", "exponential", "fibonacci")


def one_of(report: Report, key: str, value: str, words: tuple[str, ...]) -> None:
    """An error unless the value is one of the words."""
    if value not in words:
        advice = nearest(value, words) or f"one of: {', '.join(words)}"
        report.error(key, f'{key} cannot be "{value}"', advice)


def check_restart(policy: RestartPolicy, report: Report) -> None:
    """A restart policy."""
    one_of(report, "mode", policy.mode, ("fail", "delay"))
    report.need(policy.attempts >= 0, "attempts", "attempts cannot be negative")
    report.need(policy.delay_ns >= 0, "delay", "delay cannot be negative")
    report.need(policy.interval_ns >= 5 * SECOND, "interval", "interval is at least 5s")
    if policy.mode == "delay" and policy.attempts == 0:
        message = 'mode "delay" with 0 attempts means nothing'
        report.error("attempts", message, 'use mode "fail", or at least 1 attempt')
    needed = policy.attempts * policy.delay_ns
    if policy.attempts > 0 and policy.interval_ns >= 5 * SECOND and needed > policy.interval_ns:
        message = (
            f"{policy.attempts} attempts with a delay of {format_duration(policy.delay_ns)} do not fit into"
            f" an interval of {format_duration(policy.interval_ns)}"
        )
        report.error("attempts", message, f"an interval of at least {format_duration(needed)} would do")


def delays(policy: ReschedulePolicy) -> list[int]:
    """Waiting times of the first attempts."""
    result: list[int] = []
    before, delay = 0, policy.delay_ns
    for _ in range(min(policy.attempts, 10_000)):
        limit = policy.max_delay_ns if policy.delay_function != "constant" and policy.max_delay_ns else delay
        result.append(min(delay, limit))
        if policy.delay_function == "exponential":
            delay = min(delay * 2, limit)
        elif policy.delay_function == "fibonacci":
            before, delay = delay, min(before + delay if before else delay, limit)
    return result


def check_reschedule(policy: ReschedulePolicy, report: Report) -> None:
    """A reschedule policy."""
    one_of(report, "delay_function", policy.delay_function, _FUNCTIONS)
    report.need(policy.attempts >= 0, "attempts", "attempts cannot be negative")
    if policy.attempts <= 0 and not policy.unlimited:
        return
    if policy.attempts > 0 and policy.unlimited:
        report.error("attempts", "attempts cannot be limited and unlimited at once", "add unlimited = false")
        return
    report.need(policy.delay_ns >= 5 * SECOND, "delay", "delay is at least 5s")
    if policy.delay_function != "constant":
        report.need(policy.max_delay_ns >= 5 * SECOND, "max_delay", "max_delay is at least 5s")
        message = f"max_delay is at least the delay of {format_duration(policy.delay_ns)}"
        report.need(policy.max_delay_ns >= policy.delay_ns, "max_delay", message)
    if policy.unlimited:
        return
    if policy.interval_ns < 15 * SECOND:
        advice = "" if policy.interval_ns else f'e.g. interval = "{format_duration(_fitting(policy))}"'
        report.error("interval", "limited attempts need an interval of at least 15s", advice)
        return
    needed = sum(delays(policy))
    if needed > policy.interval_ns:
        message = (
            f"{policy.attempts} attempts take {format_duration(needed)}, longer than the interval of"
            f" {format_duration(policy.interval_ns)}"
        )
        report.error(
            "interval", message, f"an interval of at least {format_duration(_fitting(policy))} would do"
        )


def _fitting(policy: ReschedulePolicy) -> int:
    minute = 60 * SECOND
    return max(minute, -(-sum(delays(policy)) // minute) * minute)


def check_update(update: UpdateStrategy, job_type: JobType, report: Report) -> None:
    """An update block."""
    if job_type not in (JobType.SERVICE, JobType.SYSTEM):
        report.error("", f'a job of type "{job_type}" has no update block', "remove it")
        return
    one_of(report, "health_check", update.health_check, ("checks", "task_states", "manual"))
    _check_health(update, report)
    _check_rollout(update, job_type, report)


def check_migrate(migrate: MigrateStrategy, job_type: JobType, report: Report) -> None:
    """A migrate block."""
    if job_type is not JobType.SERVICE:
        if migrate == MigrateStrategy():
            report.warn("", f'drains do not pace jobs of type "{job_type}": the migrate block has no effect')
        else:
            report.error("", f'a job of type "{job_type}" has no migrate block', "remove it")
        return
    one_of(report, "health_check", migrate.health_check, ("checks", "task_states"))
    if migrate.max_parallel == 0:
        message = "with max_parallel 0 a drain moves nothing before its deadline"
        report.warn("max_parallel", message)
    _check_health(migrate, report)


def check_disconnect(disconnect: DisconnectStrategy, job_type: JobType, report: Report) -> None:
    """A disconnect block."""
    one_of(report, "reconcile", disconnect.reconcile, _RECONCILE)
    report.need(disconnect.lost_after_ns >= 0, "lost_after", "lost_after cannot be negative")
    stop_ns = disconnect.stop_on_client_after_ns
    if stop_ns is None:
        return
    report.need(stop_ns > 0, "stop_on_client_after", "stop_on_client_after is more than 0")
    if disconnect.lost_after_ns:
        message = "stop_on_client_after and lost_after exclude each other"
        report.error("stop_on_client_after", message, "stop what is cut off, or wait for it")
    if job_type not in (JobType.SERVICE, JobType.BATCH):
        message = f'a job of type "{job_type}" has no stop_on_client_after'
        report.error("stop_on_client_after", message, "remove it")


def _check_health(rules: UpdateStrategy | MigrateStrategy, report: Report) -> None:
    report.need(rules.max_parallel >= 0, "max_parallel", "max_parallel cannot be negative")
    report.need(rules.min_healthy_time_ns >= 0, "min_healthy_time", "min_healthy_time cannot be negative")
    report.need(rules.healthy_deadline_ns > 0, "healthy_deadline", "healthy_deadline is more than 0")
    if rules.min_healthy_time_ns >= rules.healthy_deadline_ns > 0:
        message = (
            f"min_healthy_time ({format_duration(rules.min_healthy_time_ns)}) is less than"
            f" healthy_deadline ({format_duration(rules.healthy_deadline_ns)})"
        )
        report.error("min_healthy_time", message)


def _check_rollout(update: UpdateStrategy, job_type: JobType, report: Report) -> None:
    """Canaries and deadlines of an update block."""
    deadline_ns = update.progress_deadline_ns
    report.need(deadline_ns >= 0, "progress_deadline", "progress_deadline cannot be negative")
    if 0 < deadline_ns <= update.healthy_deadline_ns:
        message = (
            f"healthy_deadline ({format_duration(update.healthy_deadline_ns)}) is less than"
            f" progress_deadline ({format_duration(deadline_ns)})"
        )
        advice = "progress_deadline = 0 means: the first unhealthy allocation ends the rollout"
        report.error("progress_deadline", message, advice)
    report.need(update.canary >= 0, "canary", "canary cannot be negative")
    if job_type is JobType.SYSTEM:
        report.need(update.canary <= 100, "canary", "canary of a system job is a percentage, at most 100")
    if update.auto_promote and update.canary == 0:
        report.error("auto_promote", "auto_promote needs canaries", "canary = 1, or more")
