"""What the watcher does about a deployment, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.model.alloc import Allocation, AllocHealth, DesiredTransition
from daemon.model.base import NS_PER_S
from daemon.model.deployment import (
    NEEDS_PROMOTION,
    PROMOTES_ITSELF,
    UNDER_WAY,
    Deployment,
    GroupDeployment,
    words_of,
)
from daemon.model.enums import ClientStatus, DeploymentStatus, DesiredStatus
from daemon.model.job import Job, TaskGroup
from daemon.model.policies import ReschedulePolicy
from daemon.server.deployments.rules import Fail, Promote, Replace, judge, needs_allocs

NOW = 1_000 * NS_PER_S
DEADLINE = 60 * NS_PER_S


def group(**facts: Any) -> GroupDeployment:
    return GroupDeployment(**{"desired_total": 2, "progress_deadline_ns": DEADLINE, **facts})


def rollout(status: DeploymentStatus = DeploymentStatus.RUNNING, /, **groups: GroupDeployment) -> Deployment:
    return Deployment(id="d", job_id="web", status=status, task_groups=groups or {"g": group()})


def alloc(number: int = 0, healthy: bool | None = None, **facts: Any) -> Allocation:
    return Allocation(
        id=f"a{number}", name=f"web.g[{number}]", job_id="web", task_group=facts.pop("task_group", "g"),
        node_id="n", deployment_id="d", deployment_status=AllocHealth(healthy=healthy),
        client_status=facts.pop("client_status", ClientStatus.RUNNING), **facts,
    )  # fmt: skip


def job(policy: ReschedulePolicy | None = ReschedulePolicy()) -> Job:  # noqa: B008
    return Job(id="web", task_groups=(TaskGroup(name="g", reschedule_policy=policy),))


@pytest.mark.parametrize("by_ns", [NOW, NOW - 1])
def test_dp1_without_progress_by_the_deadline_it_fails(by_ns):
    late = rollout(g=group(require_progress_by_ns=by_ns, healthy_allocs=1, auto_revert=True))
    effect = judge(late, job(), (), NOW)
    assert isinstance(effect, Fail)
    assert effect.revert
    assert "progress_deadline of 60 s, 1 of 2 allocations are healthy" in effect.description


@pytest.mark.parametrize(
    "facts",
    [
        {"require_progress_by_ns": NOW + 1},
        {"require_progress_by_ns": 0},  # nothing was placed yet
        {"require_progress_by_ns": NOW, "healthy_allocs": 2},  # finished
        # only somebody's promotion is missing
        {"require_progress_by_ns": NOW, "healthy_allocs": 1, "desired_canaries": 1},
    ],
)
def test_the_deadline_does_not_fire(facts):
    assert judge(rollout(g=group(**facts)), job(), (), NOW) is None


def test_canaries_that_are_not_healthy_in_time_fail_it():
    late = group(require_progress_by_ns=NOW, desired_canaries=2, healthy_allocs=1, auto_promote=True)
    effect = judge(rollout(g=late), job(), (), NOW)
    assert isinstance(effect, Fail)
    assert "1 of 2 canaries are healthy" in effect.description
    assert not effect.revert


def test_a_promoted_group_must_go_on():
    late = group(require_progress_by_ns=NOW, desired_canaries=1, promoted=True, healthy_allocs=1)
    assert isinstance(judge(rollout(g=late), job(), (), NOW), Fail)


def test_the_earliest_group_counts_and_finished_ones_do_not():
    groups = {
        "done": group(require_progress_by_ns=NOW - 9, healthy_allocs=2),
        "late": group(require_progress_by_ns=NOW - 5),
        "later": group(require_progress_by_ns=NOW - 1, auto_revert=True),
    }
    effect = judge(rollout(**groups), job(), (), NOW)
    assert isinstance(effect, Fail)
    assert "'late'" in effect.description
    assert effect.revert


def test_dp6_a_paused_one_is_not_late():
    late = group(require_progress_by_ns=NOW - 1)
    assert judge(rollout(DeploymentStatus.PAUSED, g=late), job(), (), NOW) is None


def test_dp2_without_a_deadline_one_unhealthy_allocation_ends_it():
    bad = rollout(g=group(progress_deadline_ns=0, unhealthy_allocs=1, auto_revert=True))
    assert needs_allocs(bad)
    effect = judge(bad, job(), [alloc(0, True), alloc(1, False)], NOW)
    assert isinstance(effect, Fail)
    assert "progress_deadline is 0" in effect.description
    assert effect.revert


@pytest.mark.parametrize(
    ("policy", "again"),
    [
        (ReschedulePolicy(), True),
        (ReschedulePolicy(unlimited=False, attempts=1, interval_ns=3600 * NS_PER_S), True),
        (ReschedulePolicy(unlimited=False, attempts=0), False),
        (None, False),
    ],
)
def test_an_unhealthy_allocation_is_replaced_as_long_as_the_policy_allows_it(policy, again):
    bad = rollout(g=group(unhealthy_allocs=1))
    effect = judge(bad, job(policy), [alloc(0, True), alloc(1, False)], NOW)
    assert effect == Replace(("a1",)) if again else isinstance(effect, Fail)


@pytest.mark.parametrize(
    "facts",
    [
        {"desired_transition": DesiredTransition(reschedule=True)},
        {"next_allocation": "a7"},
        {"desired_status": DesiredStatus.STOP},
    ],
)
def test_what_is_being_replaced_is_not_asked_for_again(facts):
    bad = rollout(g=group(unhealthy_allocs=1))
    assert judge(bad, job(), [alloc(0, False, **facts)], NOW) is None


def test_what_was_healthy_and_failed_later_is_replaced_and_never_ends_the_rollout():
    late = [alloc(0, True, client_status=ClientStatus.FAILED)]
    assert judge(rollout(), job(), late, NOW) == Replace(("a0",))
    assert judge(rollout(), job(None), late, NOW) == Replace(("a0",))


CANARIES = {"desired_canaries": 2, "healthy_allocs": 2, "placed_canaries": ("a0", "a1")}


@pytest.mark.parametrize(
    ("facts", "allocs", "promotes"),
    [
        ({}, [alloc(0, True), alloc(1, True)], True),
        ({"auto_promote": False}, [alloc(0, True), alloc(1, True)], False),
        ({"healthy_allocs": 1}, [alloc(0, True), alloc(1, None)], False),
        ({}, [alloc(0, True), alloc(1, True, desired_status=DesiredStatus.STOP)], False),
        ({"promoted": True}, [alloc(0, True), alloc(1, True)], False),
    ],
)
def test_dp5_it_promotes_itself_when_all_canaries_are_healthy(facts, allocs, promotes):
    waiting = rollout(g=group(**{"auto_promote": True, **CANARIES, **facts}))
    assert (judge(waiting, job(), allocs, NOW) == Promote()) == promotes


def test_dp5_an_unhealthy_canary_or_a_group_that_wants_to_be_asked_keeps_it_waiting():
    mixed = group(**{"auto_promote": True, **CANARIES, "healthy_allocs": 2, "unhealthy_allocs": 1})
    allocs = [alloc(0, True), alloc(1, False, desired_transition=DesiredTransition(reschedule=True))]
    assert judge(rollout(g=mixed), job(), allocs, NOW) is None
    healthy = [alloc(0, True), alloc(1, True)]
    groups = {"g": group(**{"auto_promote": True, **CANARIES}), "h": group(desired_canaries=1)}
    assert judge(rollout(**groups), job(), healthy, NOW) is None
    paused = rollout(DeploymentStatus.PAUSED, g=group(**{"auto_promote": True, **CANARIES}))
    assert judge(paused, job(), healthy, NOW) is None


@pytest.mark.parametrize(
    "status", [DeploymentStatus.SUCCESSFUL, DeploymentStatus.FAILED, DeploymentStatus.CANCELLED]
)
def test_what_is_over_is_left_alone(status):
    late = group(require_progress_by_ns=1, progress_deadline_ns=0)
    assert judge(rollout(status, g=late), job(), [alloc(0, False)], NOW) is None


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([GroupDeployment()], UNDER_WAY),
        ([GroupDeployment(desired_canaries=1, promoted=True, auto_promote=True)], UNDER_WAY),
        ([GroupDeployment(desired_canaries=1)], NEEDS_PROMOTION),
        ([GroupDeployment(desired_canaries=1, auto_promote=True), GroupDeployment()], PROMOTES_ITSELF),
        (
            [GroupDeployment(desired_canaries=1, auto_promote=True), GroupDeployment(desired_canaries=1)],
            NEEDS_PROMOTION,
        ),
    ],
)
def test_words_say_what_a_rollout_waits_for(groups: list[GroupDeployment], words: str) -> None:
    assert words_of(groups) == words
