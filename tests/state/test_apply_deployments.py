"""Deployments in the state: how they begin, are counted, promoted, ended, reverted, and forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from daemon.model.alloc import AllocHealth
from daemon.model.deployment import Deployment, DeploymentChange, GroupDeployment
from daemon.model.enums import ClientStatus, DeploymentStatus, JobStatus, Trigger
from daemon.model.errors import Conflict, InvalidInput, NotFound
from daemon.model.plan import InPlaceUpdate
from daemon.state.changes import DeploymentChanged
from daemon.state.commands import (
    AllocClientUpdate,
    ClientUpdate,
    Collect,
    DeploymentHealth,
    DeploymentPromote,
    DeploymentStatusUpdate,
    JobDeregister,
    JobRegister,
    JobStable,
    JobTag,
)
from tests.state.state_factory import RESOURCES, World, alloc, block, done, evaluation, job, plan, uid

DEADLINE = 600


def deployment(of: Any, number: int = 1, **group: Any) -> Deployment:
    facts = {"desired_total": 3, "progress_deadline_ns": DEADLINE, **group}
    return Deployment(
        id=uid(number, 4), job_id=of.id, job_version=of.version, task_groups={"g": GroupDeployment(**facts)}
    )


class Rollout(World):
    """A world with a node, a job, and a deployment of it."""

    def __init__(self, *, count: int = 3, canary: bool = False, **group: Any) -> None:
        super().__init__()
        self.on = self.node(1)
        self.of = self.job()
        self.begin(count, canary=canary, **group)

    def begin(
        self, count: int, *, number: int = 1, first: int = 0, canary: bool = False, **group: Any
    ) -> None:
        numbers = list(range(first, first + count))
        placed = block(numbers, [self.on], self.of, deployment_id=uid(number, 4), canary=canary)
        made = deployment(self.of, number, **group)
        parts = {"blocks": (placed,)} if count else {}
        self.apply(plan(self.of, deployment=made, time_ns=100, evaluations=(done(0),), **parts))

    def change_job(self, **facts: Any) -> None:
        self.apply(JobRegister(time_ns=150, job=job(**facts)))
        stored = self.state.job("default", "web")
        assert stored is not None
        self.of = stored

    def row(self, number: int = 1) -> Deployment:
        found = self.state.deployment(uid(number, 4))
        assert found is not None
        return found

    def group(self, number: int = 1) -> GroupDeployment:
        return self.row(number).task_groups["g"]

    def say(self, alloc_number: int, healthy: bool, at_ns: int = 200, **facts: Any) -> None:
        health = AllocHealth(healthy=healthy, timestamp_ns=at_ns)
        update = ClientUpdate(
            alloc_id=uid(alloc_number, 3), client_status=ClientStatus.RUNNING, health=health, **facts
        )
        self.apply(AllocClientUpdate(time_ns=200, node_id=self.on.id, updates=(update,)))

    def status(self, status: DeploymentStatus, **facts: Any) -> Any:
        change = DeploymentChange(deployment_id=uid(1, 4), status=status, status_description="said so")
        time_ns = facts.pop("time_ns", 300)
        return self.apply(DeploymentStatusUpdate(time_ns=time_ns, change=change, **facts)).result


def test_it_begins_with_a_plan_and_counts_what_was_stored():
    world = Rollout()
    row, group = world.row(), world.group()
    assert (row.status, row.create_index, row.create_time_ns) == (DeploymentStatus.RUNNING, 3, 100)
    assert (group.placed_allocs, group.healthy_allocs, group.placed_canaries) == (3, 0, ())
    assert group.require_progress_by_ns == 100 + DEADLINE
    assert world.state.latest_deployment("default", "web") == row
    assert world.state.active_deployments() == [row]


def test_a_deployment_without_placements_has_no_clock_and_makes_the_job_running():
    world = Rollout(count=0)
    assert world.group().require_progress_by_ns == 0
    found = world.state.job("default", "web")
    assert found is not None
    assert found.status == JobStatus.RUNNING


def test_dropped_placements_do_not_count():
    world = Rollout(count=0)
    other = world.node(2)
    placed = block(
        [0, 1, 2, 3], [world.on, other], world.of, deployment_id=uid(1, 4), canary=True,
        node_epochs=(world.on.epoch, other.epoch + 1),
    )  # fmt: skip
    stale = alloc(9, other, world.of, deployment_id=uid(1, 4))
    changes = world.apply(plan(world.of, blocks=(placed,), allocs=(stale,)))
    assert changes.result.full is False  # type: ignore[union-attr]
    assert world.group().placed_allocs == 2
    assert world.group().placed_canaries == (uid(0, 3), uid(2, 3))


def test_a_plan_for_an_older_version_begins_none():
    world = Rollout(count=0)
    old = world.of
    world.change_job(priority=70)
    changes = world.apply(plan(old, deployment=deployment(old, 2), time_ns=160))
    assert uid(2, 4) in changes.dropped
    assert world.state.deployment(uid(2, 4)) is None


def test_a_newer_one_cancels_the_older_one_of_the_job():
    world = Rollout()
    world.change_job(priority=70)
    world.begin(2, number=2, first=5)
    assert world.row(1).status == DeploymentStatus.CANCELLED
    assert [row.id for row in world.state.deployments_by_job("default", "web")] == [uid(2, 4), uid(1, 4)]
    assert [row.id for row in world.state.active_deployments()] == [uid(2, 4)]


def test_a_plan_that_brings_it_again_keeps_what_has_happened():
    world = Rollout(desired_canaries=1, canary=True, count=1)
    world.say(0, True)
    world.apply(DeploymentPromote(time_ns=210, deployment_id=uid(1, 4)))
    before = world.group()
    world.apply(plan(world.of, deployment=deployment(world.of, desired_total=8), time_ns=250))
    assert world.group() == replace(before, desired_total=8, desired_canaries=0)
    assert before.promoted


def test_health_moves_the_counters_and_a_healthy_one_the_clock():
    world = Rollout()
    world.say(0, True, at_ns=180)
    assert (world.group().healthy_allocs, world.group().require_progress_by_ns) == (1, 180 + DEADLINE)
    world.say(0, True, at_ns=190)  # said again
    assert (world.group().healthy_allocs, world.group().require_progress_by_ns) == (1, 180 + DEADLINE)
    world.say(1, False)
    assert (world.group().healthy_allocs, world.group().unhealthy_allocs) == (1, 1)
    world.say(0, False)
    assert (world.group().healthy_allocs, world.group().unhealthy_allocs) == (0, 2)
    world.say(2, True, at_ns=10**18)  # a node's clock that is wrong
    assert world.group().require_progress_by_ns == 200 + DEADLINE


def test_health_that_was_judged_for_another_deployment_is_not_taken():
    world = Rollout()
    world.say(0, True, deployment_id="")
    assert world.group().healthy_allocs == 0
    world.say(0, True, deployment_id=uid(1, 4))
    assert world.group().healthy_allocs == 1


def test_an_update_in_place_joins_the_new_deployment_with_unset_health():
    world = Rollout()
    world.say(0, True)
    world.change_job(priority=70)
    update = InPlaceUpdate(
        alloc_id=uid(0, 3), node_id=world.on.id, job_version=world.of.version,
        job_spec_index=world.of.job_modify_index, allocated_resources=RESOURCES, deployment_id=uid(2, 4),
    )  # fmt: skip
    world.apply(plan(world.of, deployment=deployment(world.of, 2), in_place=(update,), time_ns=250))
    row = world.state.alloc(uid(0, 3))
    assert row is not None
    assert row.deployment_status is None
    assert (world.group(2).placed_allocs, world.group(2).healthy_allocs) == (1, 0)
    assert world.group(2).require_progress_by_ns == 250 + DEADLINE
    world.say(0, True)
    assert world.group(2).healthy_allocs == 1


def test_dp8_success_makes_the_version_stable():
    world = Rollout()
    world.change_job(priority=70)
    change = DeploymentChange(deployment_id=uid(1, 4), status=DeploymentStatus.SUCCESSFUL)
    world.apply(plan(world.of, deployment_changes=(change,)))
    assert [(v.version, v.stable) for v in world.state.job_versions("default", "web")] == [
        (1, False),
        (0, True),
    ]


def test_what_is_over_takes_no_update():
    world = Rollout()
    world.status(DeploymentStatus.FAILED)
    before = world.row()
    assert before.status_description == "said so"
    assert isinstance(world.status(DeploymentStatus.RUNNING), Conflict)
    assert isinstance(world.status(DeploymentStatus.PAUSED), Conflict)
    promote = world.apply(DeploymentPromote(time_ns=1, deployment_id=uid(1, 4)))
    assert isinstance(promote.result, Conflict)
    change = DeploymentChange(deployment_id=uid(1, 4), status=DeploymentStatus.SUCCESSFUL)
    assert uid(1, 4) in world.apply(plan(world.of, deployment_changes=(change,))).dropped
    world.say(0, True)
    world.apply(plan(world.of, deployment=deployment(world.of)))
    assert world.row() == before
    unknown = world.apply(DeploymentPromote(time_ns=1, deployment_id=uid(9, 4)))
    assert isinstance(unknown.result, NotFound)


def test_pausing_stops_the_clock_and_resuming_begins_it_anew():
    world = Rollout()
    world.status(DeploymentStatus.PAUSED)
    assert world.group().require_progress_by_ns == 0
    world.say(0, True)
    assert (world.group().healthy_allocs, world.group().require_progress_by_ns) == (1, 0)
    asked = evaluation(5, triggered_by=Trigger.DEPLOYMENT_WATCHER)
    result = world.status(DeploymentStatus.RUNNING, evaluation=asked, time_ns=1000)
    assert isinstance(result, DeploymentChanged)
    assert result.eval_id == asked.id
    assert world.state.eval(asked.id) is not None
    assert world.group().require_progress_by_ns == 1000 + DEADLINE


def test_promotion_needs_the_canaries_healthy_and_clears_their_mark():
    world = Rollout(count=2, canary=True, desired_canaries=2)
    world.say(0, True)
    promote = DeploymentPromote(time_ns=400, deployment_id=uid(1, 4), evaluation=evaluation(5))
    refused = world.apply(promote).result
    assert isinstance(refused, InvalidInput)
    assert "'g' has 1 healthy canaries of 2" in str(refused)
    assert world.state.eval(uid(5, 2)) is None
    assert "no group 'x'" in str(world.apply(replace(promote, groups=("x",))).result)
    world.say(1, True)
    world.apply(replace(promote, groups=("g",)))
    assert world.group().promoted
    assert world.group().require_progress_by_ns == 400 + DEADLINE
    assert world.row().needs_promotion is False
    for number in (0, 1):
        row = world.state.alloc(uid(number, 3))
        assert row is not None
        assert row.deployment_status is not None
        assert (row.deployment_status.canary, row.deployment_status.healthy) == (False, True)
    assert world.state.eval(uid(5, 2)) is not None
    assert "no canaries wait" in str(world.apply(promote).result)


def test_a_canary_that_is_over_does_not_help_to_promote():
    world = Rollout(count=1, canary=True, desired_canaries=1)
    world.say(0, True)
    update = ClientUpdate(alloc_id=uid(0, 3), client_status=ClientStatus.FAILED)
    world.apply(AllocClientUpdate(time_ns=210, node_id=world.on.id, updates=(update,)))
    result = world.apply(DeploymentPromote(time_ns=400, deployment_id=uid(1, 4))).result
    assert "0 healthy canaries of 1" in str(result)


def test_health_by_hand():
    world = Rollout()
    foreign = DeploymentHealth(time_ns=300, deployment_id=uid(1, 4), healthy=(uid(0, 3), uid(99, 3)))
    assert isinstance(world.apply(foreign).result, NotFound)
    assert world.group().healthy_allocs == 0
    world.apply(replace(foreign, healthy=(uid(0, 3),)))
    assert world.group().healthy_allocs == 1
    world.apply(replace(foreign, healthy=(), unhealthy=(uid(0, 3), uid(1, 3))))
    assert (world.group().healthy_allocs, world.group().unhealthy_allocs) == (0, 2)
    assert world.row().status == DeploymentStatus.FAILED
    assert "by hand" in world.row().status_description


def stable_then_bad(**facts: Any) -> Rollout:
    """Version 0 is stable, version 1 is being rolled out."""
    world = Rollout()
    world.status(DeploymentStatus.SUCCESSFUL)
    world.change_job(**(facts or {"priority": 70}))
    placed = block([7], [world.on], world.of, deployment_id=uid(2, 4))
    world.apply(plan(world.of, deployment=deployment(world.of, 2), blocks=(placed,), time_ns=250))
    return world


def fail(world: Rollout) -> DeploymentChanged:
    change = DeploymentChange(
        deployment_id=uid(2, 4), status=DeploymentStatus.FAILED, status_description="bad"
    )
    asked = evaluation(8, triggered_by=Trigger.DEPLOYMENT_WATCHER)
    command = DeploymentStatusUpdate(time_ns=500, change=change, revert=True, evaluation=asked)
    result = world.apply(command).result
    assert isinstance(result, DeploymentChanged)
    return result


def test_one_entry_fails_the_deployment_and_takes_the_job_back():
    world = stable_then_bad()
    assert fail(world).reverted_version == 0
    job_ = world.state.job("default", "web")
    assert job_ is not None
    assert (job_.version, job_.priority, job_.reverts_to, job_.stable) == (2, 50, 0, False)
    assert world.row(2).status == DeploymentStatus.FAILED
    assert world.row(2).status_description == "bad; the job goes back to version 0"
    stored = world.state.eval(uid(8, 2))
    assert stored is not None
    assert stored.job_modify_index == job_.job_modify_index == world.state.index


def test_a_job_that_has_moved_on_is_left_as_it_is():
    world = stable_then_bad()
    world.change_job(priority=80)
    assert fail(world).reverted_version == -1
    assert world.row(2).status_description == "bad; the job has changed since, and is left as it is"
    assert [v.version for v in world.state.job_versions("default", "web")] == [2, 1, 0]


def test_dp4_without_a_stable_version_it_fails_and_the_job_stays():
    world = stable_then_bad()
    world.apply(JobStable(time_ns=1, namespace="default", job_id="web", version=0, stable=False))
    assert fail(world).reverted_version == -1
    assert world.row(2).status_description == "bad; there is no stable version to go back to"


def test_a_stable_version_that_asks_for_the_same_is_no_way_back():
    world = stable_then_bad()
    fail(world)
    stored = world.state.job("default", "web")
    assert stored is not None
    world.of = stored
    world.begin(1, number=3, first=20)
    change = DeploymentChange(deployment_id=uid(3, 4), status=DeploymentStatus.FAILED, status_description="b")
    world.apply(DeploymentStatusUpdate(time_ns=600, change=change, revert=True))
    assert world.row(3).status_description.startswith("b; the newest stable version (0) asks for the same")
    assert len(world.state.job_versions("default", "web")) == 3


def test_vr2_six_versions_are_kept_and_the_newest_stable_one_among_them():
    world = Rollout(count=0)
    world.apply(JobStable(time_ns=1, namespace="default", job_id="web", version=0, stable=True))
    for priority in range(60, 67):
        world.change_job(priority=priority)
    assert [v.version for v in world.state.job_versions("default", "web")] == [7, 6, 5, 4, 3, 0]


def test_a_tagged_version_is_never_trimmed_and_does_not_count():
    world = Rollout(count=0)
    world.change_job(priority=60)
    world.apply(JobTag(time_ns=9, namespace="default", job_id="web", version=1, name="good", description="d"))
    for priority in range(61, 68):
        world.change_job(priority=priority)
    versions = world.state.job_versions("default", "web")
    assert [v.version for v in versions] == [8, 7, 6, 5, 4, 3, 1]
    tag = versions[-1].version_tag
    assert tag is not None
    assert (tag.name, tag.description, tag.tagged_time_ns) == ("good", "d", 150)
    assert versions[0].version_tag is None


def test_a_tag_is_on_one_version_and_can_be_taken_away():
    world = Rollout(count=0)
    world.change_job(priority=60)
    tag = JobTag(time_ns=9, namespace="default", job_id="web", version=0, name="good")
    world.apply(tag)
    assert isinstance(world.apply(replace(tag, version=1)).result, Conflict)
    assert isinstance(world.apply(replace(tag, version=5, name="new")).result, NotFound)
    world.apply(replace(tag, version=-1))
    assert all(v.version_tag is None for v in world.state.job_versions("default", "web"))
    assert isinstance(world.apply(replace(tag, version=-1)).result, NotFound)
    world.apply(replace(tag, version=1))
    latest = world.state.job("default", "web")
    assert latest is not None
    assert latest.version_tag is not None
    # a tag is no change of the spec
    world.change_job(priority=60)
    assert world.of.version == 1


def test_vr5_purge_takes_the_deployments_along():
    world = Rollout()
    world.apply(JobDeregister(time_ns=9, namespace="default", job_id="web", purge=True))
    assert list(world.state.deployments()) == []
    assert world.state.latest_deployment("default", "web") is None
    assert list(world.state.allocs()) == []


@pytest.mark.parametrize(
    ("status", "over", "goes"),
    [
        (DeploymentStatus.FAILED, True, True),
        (DeploymentStatus.FAILED, False, False),
        (DeploymentStatus.PAUSED, True, False),
    ],
)
def test_only_what_is_over_is_collected(status, over, goes):
    world = Rollout()
    world.status(status)
    if over:
        for number in range(3):
            update = ClientUpdate(alloc_id=uid(number, 3), client_status=ClientStatus.COMPLETE)
            world.apply(AllocClientUpdate(time_ns=210, node_id=world.on.id, updates=(update,)))
    changes = world.apply(Collect(time_ns=900, deployments=(uid(1, 4), uid(77, 4))))
    assert (world.state.deployment(uid(1, 4)) is None) == goes
    assert (uid(1, 4) in changes.dropped) != goes
