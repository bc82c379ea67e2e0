"""What a deployment means for who follows its job."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.cli.judge import Outcome
from daemon.cli.rollout import RolloutWatch, waits_for_a_person
from daemon.model.deployment import Deployment, GroupDeployment
from daemon.model.enums import DeploymentStatus

WAITING = GroupDeployment(desired_canaries=2, healthy_allocs=2, desired_total=5)
PLAIN = GroupDeployment(desired_total=3)


def row(*groups: GroupDeployment, **facts: Any) -> Deployment:
    named = {f"g{n}": group for n, group in enumerate(groups)}
    return Deployment(**({"id": "d" * 36, "job_id": "web", "job_version": 1, "task_groups": named} | facts))


@pytest.mark.parametrize(
    ("deployment", "until_healthy", "outcome"),
    [
        (None, False, None),
        (row(PLAIN), False, None),
        (row(WAITING), False, Outcome.PROMOTABLE),
        (row(WAITING), True, None),
        (row(WAITING, PLAIN), False, Outcome.PROMOTABLE),
        (row(WAITING, job_version=7), False, None),
        (row(GroupDeployment(desired_canaries=2, healthy_allocs=1)), False, None),
        (row(GroupDeployment(desired_canaries=2, healthy_allocs=2, promoted=True)), False, None),
        (row(GroupDeployment(desired_canaries=2, healthy_allocs=2, auto_promote=True)), False, None),
        (row(PLAIN, status=DeploymentStatus.FAILED), False, Outcome.FAILED),
        (row(PLAIN, status=DeploymentStatus.CANCELLED), True, Outcome.FAILED),
        (row(PLAIN, status=DeploymentStatus.SUCCESSFUL), False, None),
        (row(PLAIN, status=DeploymentStatus.PAUSED), False, None),
    ],
)
def test_verdicts(deployment: Deployment | None, until_healthy: bool, outcome: Outcome | None) -> None:
    _, verdict = RolloutWatch("web", 1, until_healthy=until_healthy).step(deployment)
    assert (verdict.outcome if verdict else None) == outcome
    if verdict is not None:
        assert verdict.exit_code == (0 if outcome is Outcome.PROMOTABLE else 1)


def test_news_are_said_once() -> None:
    watch = RolloutWatch("web", 1)
    first, _ = watch.step(row(PLAIN, status_description="under way"))
    again, _ = watch.step(row(PLAIN, status_description="under way"))
    later, _ = watch.step(row(PLAIN, status=DeploymentStatus.PAUSED, status_description="held"))
    assert "under way" in first[0].text and not again and "paused: held" in later[0].text


def test_whose_deadlines_and_failures_count() -> None:
    watch = RolloutWatch("web", 1)
    assert not watch.patient(row(PLAIN)) and not watch.patient(None)
    assert watch.patient(row(PLAIN, status=DeploymentStatus.PAUSED)) and watch.patient(row(WAITING))
    assert watch.forgiven(row(PLAIN, GroupDeployment(auto_revert=True))) == {"g1"}
    over = row(GroupDeployment(auto_revert=True), status=DeploymentStatus.SUCCESSFUL)
    assert not watch.forgiven(over) and not watch.forgiven(
        row(GroupDeployment(auto_revert=True), job_version=4)
    )
    assert waits_for_a_person(row(WAITING)) and not waits_for_a_person(row(PLAIN))
