"""The restart policy, as tables."""

from __future__ import annotations

import pytest

from daemon.model.policies import MINUTE, SECOND, RestartPolicy
from daemon.node.runner.records import Window
from daemon.node.runner.restarts import NONE_ALLOWED, SUCCESS, UNRECOVERABLE, WITHIN, decide

POLICY = RestartPolicy(attempts=2, interval_ns=10 * MINUTE, delay_ns=15 * SECOND, mode="fail")


def judge(policy=POLICY, window=Window(), now_s=1000, **facts):
    wanted = {"successful": False, "recoverable": True, "on_success": True, "jitter": 0.0, **facts}
    return decide(policy, window, now_ns=now_s * SECOND, **wanted)


def test_restarts_are_counted_until_the_attempts_are_used_up():
    first = judge()
    second = judge(window=first.window, now_s=1010)
    third = judge(window=second.window, now_s=1020)
    assert (first.restart, second.restart, third.restart) == (True, True, False)
    assert first.reason == WITHIN
    assert third.failed and "More than 2 restarts in 10m" in third.reason


def test_a_new_interval_begins_when_the_old_one_is_over():
    used_up = Window(started_ns=1000 * SECOND, count=2)
    assert not judge(window=used_up, now_s=1000 + 600).restart
    fresh = judge(window=used_up, now_s=1000 + 601)
    assert fresh.restart and fresh.window == Window(started_ns=1601 * SECOND, count=1)


def test_mode_delay_waits_for_the_end_of_the_interval():
    policy = RestartPolicy(attempts=1, interval_ns=5 * MINUTE, delay_ns=10 * SECOND, mode="delay")
    verdict = judge(policy, Window(started_ns=1000 * SECOND, count=1), now_s=1100)
    assert verdict.restart and verdict.delay_ns == (200 + 10) * SECOND
    after = judge(policy, verdict.window, now_s=1100 + 211)
    assert after.restart and after.window.count == 1


@pytest.mark.parametrize(("jitter", "delay_s"), [(0.0, 15.0), (0.5, 16.875), (1.0, 18.75)])
def test_the_delay_is_stretched_by_up_to_a_quarter(jitter, delay_s):
    assert judge(jitter=jitter).delay_ns == int(delay_s * SECOND)


@pytest.mark.parametrize(
    ("facts", "restart", "failed", "reason"),
    [
        ({"successful": True, "on_success": False}, False, False, SUCCESS),
        ({"successful": True, "on_success": True}, True, False, WITHIN),
        ({"recoverable": False}, False, True, UNRECOVERABLE),
        ({"policy": RestartPolicy(attempts=0, mode="fail")}, False, True, NONE_ALLOWED),
    ],
)
def test_verdicts(facts, restart, failed, reason):
    verdict = judge(**facts)
    assert (verdict.restart, verdict.failed, verdict.reason) == (restart, failed, reason)
