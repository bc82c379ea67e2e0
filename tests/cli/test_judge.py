"""When a job is healthy, complete or stopped: scripts of what is seen, and the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.cli.judge import (
    GRACE_S,
    HealthJudge,
    Outcome,
    Verdict,
    judge_complete,
    judge_stopped,
    stop_limit_s,
)
from daemon.model.alloc import Allocation
from tests.cli.made import ALLOC_2, S, failed, make_alloc, make_job, running


def judged(allocs: list[Allocation], now_s: float = 1.0, **job: Any) -> Verdict | None:
    return HealthJudge(make_job(**job), 0, 0.0).step(now_s, allocs)[1]


@pytest.mark.parametrize(
    ("allocs", "outcome"),
    [
        ([running(healthy=True)], Outcome.HEALTHY),
        ([running(healthy=None)], None),
        ([make_alloc()], None),
        ([], None),
        ([running(healthy=False)], Outcome.UNHEALTHY),
        ([failed()], Outcome.UNHEALTHY),
        # replaced ones, those of another version and those that shall stop do not count
        ([failed(next_allocation="x"), running(healthy=True, id=ALLOC_2)], Outcome.HEALTHY),
        ([failed(job_version=7), running(healthy=True, id=ALLOC_2)], Outcome.HEALTHY),
        ([failed(desired_status="stop"), running(healthy=True, id=ALLOC_2)], Outcome.HEALTHY),
        ([running(healthy=True, job_version=7)], None),
        ([running(healthy=True, desired_status="stop")], None),
        ([make_alloc(client_status="lost")], None),
        ([make_alloc(client_status="unknown")], None),
    ],
)
def test_service(allocs: list[Allocation], outcome: Outcome | None) -> None:
    verdict = judged(allocs)
    assert (verdict.outcome if verdict else None) == outcome


def test_every_allocation_of_the_count_must_be_healthy() -> None:
    assert judged([running(healthy=True)], count=2) is None
    verdict = judged([running(healthy=True), running(healthy=True, id=ALLOC_2)], count=2)
    assert verdict is not None and verdict.exit_code == 0


def test_without_the_nodes_word_running_long_enough_counts() -> None:
    judge = HealthJudge(make_job(), 0, 0.0)
    assert judge.step(0.0, [running()])[1] is None
    assert judge.step(10.0 + GRACE_S - 0.1, [running()])[1] is None
    verdict = judge.step(10.0 + GRACE_S, [running()])[1]
    assert verdict is not None and verdict.outcome is Outcome.HEALTHY


def test_a_restart_begins_the_wait_anew() -> None:
    judge = HealthJudge(make_job(), 0, 0.0)
    judge.step(0.0, [running()])
    assert judge.step(14.0, [running(restarts=1)])[1] is None
    assert judge.step(15.0, [running(restarts=1)])[1] is None
    assert judge.step(29.0, [running(restarts=1)])[1] is not None


def test_the_deadline_fires_and_says_what_the_tasks_said() -> None:
    judge = HealthJudge(make_job(), 0, 0.0)
    assert judge.step(60.0, [make_alloc(client_description="pulling the image")])[1] is None
    verdict = judge.step(60.0 + 60.0 + GRACE_S + 0.1, [make_alloc(client_description="pulling the image")])[1]
    assert verdict is not None and verdict.outcome is Outcome.TIMED_OUT and verdict.exit_code == 1
    assert "healthy_deadline of 1m" in verdict.headline
    assert "pulling the image" in verdict.lines


def test_each_newly_healthy_allocation_extends_the_deadline() -> None:
    judge = HealthJudge(make_job(count=2), 0, 0.0)
    judge.step(0.0, [])
    judge.step(50.0, [running(healthy=True)])
    assert judge.step(100.0, [running(healthy=True)])[1] is None
    assert judge.step(50.0 + 60.0 + GRACE_S + 0.1, [running(healthy=True)])[1] is not None


def test_progress_is_said_once() -> None:
    judge = HealthJudge(make_job(count=2), 0, 0.0)
    assert [line.text for line in judge.step(0.0, [])[0]] == ['Group "front": 0 of 2 healthy']
    assert judge.step(1.0, [])[0] == []
    assert [line.text for line in judge.step(2.0, [running(healthy=True)])[0]] == [
        'Group "front": 1 of 2 healthy'
    ]


def test_system_job_counts_what_was_placed() -> None:
    assert judged([running(healthy=True), running(id=ALLOC_2)], type="system") is None
    verdict = judged([running(healthy=True), running(healthy=True, id=ALLOC_2)], type="system")
    assert verdict is not None and verdict.outcome is Outcome.HEALTHY
    nowhere = judged([], type="system")
    assert nowhere is not None and nowhere.exit_code == 2


def test_a_job_of_no_allocations_is_up() -> None:
    verdict = judged([], count=0)
    assert verdict is not None and verdict.exit_code == 0


def test_unhealthy_names_the_event_and_the_next_commands() -> None:
    verdict = judged([failed(followup_eval_id="e")])
    assert verdict is not None and verdict.exit_code == 1
    assert "reschedule" in verdict.headline
    assert 'Task "server": Terminated: Exit code 3; it had run for 1 s' in verdict.lines
    assert any("encamp alloc status 8a1f0000" in line for line in verdict.lines)


@pytest.mark.parametrize(
    ("status", "allocs", "outcome"),
    [
        ("running", [running()], None),
        ("pending", [], None),
        ("dead", [make_alloc(client_status="complete")], Outcome.COMPLETE),
        ("dead", [failed()], Outcome.FAILED),
        (
            "dead",
            [failed(), make_alloc(id=ALLOC_2, client_status="complete", create_index=11)],
            Outcome.COMPLETE,
        ),
        ("dead", [make_alloc(client_status="lost")], Outcome.FAILED),
        ("dead", [], Outcome.FAILED),
        ("dead", [make_alloc(client_status="complete", job_version=4)], Outcome.FAILED),
    ],
)
def test_batch(status: str, allocs: list[Allocation], outcome: Outcome | None) -> None:
    verdict = judge_complete(make_job(type="batch"), status, 0, allocs)
    assert (verdict.outcome if verdict else None) == outcome


def test_stopped_only_when_nothing_runs() -> None:
    assert judge_stopped("web", [running(desired_status="stop")]) == (1, None)
    left, verdict = judge_stopped("web", [make_alloc(client_status="complete"), failed()])
    assert left == 0 and verdict is not None and verdict.outcome is Outcome.STOPPED


def test_stop_may_take_the_kill_timeout_and_a_margin() -> None:
    assert stop_limit_s(make_job()) == 5 + 30


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.HEALTHY, 0),
        (Outcome.PLACED, 0),
        (Outcome.COMPLETE, 0),
        (Outcome.STOPPED, 0),
        (Outcome.REGISTERED, 0),
        (Outcome.BLOCKED, 2),
        (Outcome.UNHEALTHY, 1),
        (Outcome.FAILED, 1),
        (Outcome.TIMED_OUT, 1),
    ],
)
def test_exit_codes(outcome: Outcome, code: int) -> None:
    assert Verdict(outcome, "").exit_code == code


def test_seconds_are_of_the_update_block() -> None:
    assert make_job().task_groups[0].update is not None
    assert make_job().task_groups[0].update.min_healthy_time_ns == 10 * S  # type: ignore[union-attr]
