"""Restart policy: whether, and after which delay, an ended task starts again on its node. Pure.

Theory: at most `attempts` restarts in an `interval`, which begins with the first restart counted in it. Above that,
mode `fail` ends the task as failed, mode `delay` waits for the end of the interval. A delay is stretched by up to
25%, so that what failed together does not come back together.

Not here: rescheduling to another node (the scheduler).
Source: spec/scheduler.md 1.2.
"""

from __future__ import annotations

import msgspec

from daemon.model.policies import RestartPolicy
from daemon.node.runner.records import Window
from daemon.node.runner.words import duration

_JITTER = 0.25

WITHIN = "Restart within policy"
SUCCESS = "Task ended successfully and needs no restart"
NONE_ALLOWED = "The restart policy allows no restarts"
UNRECOVERABLE = "The error cannot be recovered from by a restart"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Start again after `delay_ns` (`restart`), or end, as failed or not."""

    restart: bool
    reason: str
    delay_ns: int = 0
    failed: bool = False
    window: Window


def decide(
    policy: RestartPolicy,
    window: Window,
    *,
    now_ns: int,
    successful: bool,
    recoverable: bool,
    on_success: bool,
    jitter: float,
) -> Verdict:
    """Judge one end of a task. `on_success`: it is to run for ever, so exit code 0 is no end either."""
    if successful and not on_success:
        return Verdict(restart=False, reason=SUCCESS, window=window)
    if not recoverable:
        return Verdict(restart=False, reason=UNRECOVERABLE, failed=True, window=window)
    if window.count == 0 or now_ns - window.started_ns > policy.interval_ns:
        window = Window(started_ns=now_ns)
    stretched = 1 + _JITTER * jitter
    if window.count < policy.attempts:
        counted = Window(started_ns=window.started_ns, count=window.count + 1)
        return Verdict(restart=True, reason=WITHIN, delay_ns=int(policy.delay_ns * stretched), window=counted)
    if policy.mode == "delay":
        left_ns = max(0, window.started_ns + policy.interval_ns - now_ns)
        reason = f"More than {policy.attempts} restarts in {duration(policy.interval_ns)}; waits until that is over"
        # the next end opens a new interval, because it comes after this one
        delay_ns = left_ns + int(policy.delay_ns * stretched)
        return Verdict(restart=True, reason=reason, delay_ns=delay_ns, window=window)
    if policy.attempts == 0:
        return Verdict(restart=False, reason=NONE_ALLOWED, failed=True, window=window)
    reason = f"More than {policy.attempts} restarts in {duration(policy.interval_ns)}, and the policy's mode is fail"
    return Verdict(restart=False, reason=reason, failed=True, window=window)
