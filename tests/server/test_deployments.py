"""Rollouts through a whole server: scheduler, watcher and state together, with nodes that the test speaks for."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.model.alloc import Allocation
from daemon.model.base import NS_PER_S
from daemon.model.deployment import Deployment
from daemon.model.enums import ClientStatus, DeploymentStatus, Trigger
from daemon.model.errors import Conflict, InvalidInput, NotFound, Unavailable
from daemon.model.job import Job
from daemon.model.policies import ReschedulePolicy, UpdateStrategy
from daemon.model.resources import Resources
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.server.deployments.watcher import ROUND_S
from daemon.state.commands import DeploymentStatusUpdate
from tests.server.serverkit import Kit, make_job

FAST = {"min_healthy_time_ns": 0, "healthy_deadline_ns": 5 * NS_PER_S, "progress_deadline_ns": 60 * NS_PER_S}


def web(count: int = 2, cpu: int = 100, *, policy: ReschedulePolicy | None = None, **update: Any) -> Job:
    strategy = UpdateStrategy(**{**FAST, "min_healthy_time_ns": 0, **update})
    group: dict[str, Any] = {"update": strategy}
    if policy is not None:
        group["reschedule_policy"] = policy
    return make_job(count=count, group=group, task={"resources": Resources(cpu=cpu, memory_mb=64)})


def latest(kit: Kit) -> Deployment | None:
    return kit.server.context.state.latest_deployment("default", "web")


async def reached(kit: Kit, status: DeploymentStatus, version: int) -> Deployment:
    def read() -> Deployment | None:
        row = latest(kit)
        return row if row is not None and (row.job_version, row.status) == (version, status) else None

    return await kit.until(f"version {version} to be {status}", read)


def of_version(kit: Kit, version: int) -> list[Allocation]:
    return [alloc for alloc in kit.live("web") if alloc.job_version == version]


async def all_healthy(kit: Kit, node: Any, version: int, *, until: DeploymentStatus) -> Deployment:
    """Report every allocation of a version as healthy, until the deployment is where it should be."""
    told: set[str] = set()

    async def tell() -> None:
        for alloc in of_version(kit, version):
            if alloc.id not in told:
                told.add(alloc.id)
                await kit.report(node, alloc, ClientStatus.RUNNING, healthy=True)

    for _ in range(60):
        await tell()
        row = latest(kit)
        if row is not None and (row.job_version, row.status) == (version, until):
            return row
        seen = kit.server.context.index_signal.value
        await kit.server.context.index_signal.wait_past(seen, 0.5)
    raise AssertionError(f"the deployment did not become {until}: {latest(kit)}")


async def stable(kit: Kit, node: Any, **facts: Any) -> None:
    """Version 0, rolled out."""
    await kit.run_and_settle(web(**facts))
    await all_healthy(kit, node, 0, until=DeploymentStatus.SUCCESSFUL)


def versions(kit: Kit) -> list[tuple[int, bool]]:
    return [(v.version, v.stable) for v in kit.server.context.state.job_versions("default", "web")]


async def test_dp8_a_rolling_update_ends_well_and_makes_the_version_stable(kit):
    node = await kit.node()
    await stable(kit, node)
    assert versions(kit) == [(0, True)]
    await kit.run_and_settle(web(cpu=200))
    assert len(of_version(kit, 1)) == 1  # max_parallel
    await all_healthy(kit, node, 1, until=DeploymentStatus.SUCCESSFUL)
    assert versions(kit) == [(1, True), (0, True)]
    assert len(of_version(kit, 1)) == 2
    assert of_version(kit, 0) == []


async def test_many_that_become_healthy_together_are_one_evaluation(kit):
    node = await kit.node()
    await kit.run_and_settle(web(count=10))
    for alloc in kit.live("web"):
        await kit.report(node, alloc, ClientStatus.RUNNING, healthy=True)
    await reached(kit, DeploymentStatus.SUCCESSFUL, 0)
    asked = [each.triggered_by for each in kit.server.context.state.evals_by_job("default", "web")]
    assert asked.count(Trigger.DEPLOYMENT_WATCHER) <= 2


async def test_an_unhealthy_update_fails_at_once_and_the_job_goes_back(kit):
    node = await kit.node()
    never = ReschedulePolicy(unlimited=False, attempts=0)
    await stable(kit, node, policy=never)
    await kit.run_and_settle(web(cpu=200, policy=never, auto_revert=True))
    await kit.report(node, of_version(kit, 1)[0], ClientStatus.RUNNING, healthy=False)
    failed = await kit.until(
        "the failure",
        lambda: next(
            (d for d in kit.server.context.state.deployments() if d.status == DeploymentStatus.FAILED), None
        ),
    )
    assert "the job goes back to version 0" in failed.status_description
    await all_healthy(kit, node, 2, until=DeploymentStatus.SUCCESSFUL)
    job = kit.server.context.state.job("default", "web")
    assert job.task_groups[0].tasks[0].resources.cpu == 100
    assert job.reverts_to == 0
    assert {alloc.job_version for alloc in kit.live("web")} == {2}


async def test_dp4_without_a_stable_version_the_job_stays_as_it_is(kit):
    node = await kit.node()
    await kit.run_and_settle(web(progress_deadline_ns=0, auto_revert=True))
    await kit.report(node, kit.live("web")[0], ClientStatus.RUNNING, healthy=False)
    row = await reached(kit, DeploymentStatus.FAILED, 0)
    assert "no stable version to go back to" in row.status_description
    assert versions(kit) == [(0, False)]


async def test_dp1_the_deadline_fires_though_nothing_is_heard(kit):
    await kit.node()
    await kit.run_and_settle(web(progress_deadline_ns=NS_PER_S // 2, healthy_deadline_ns=1))
    row = await reached(kit, DeploymentStatus.FAILED, 0)
    assert "no progress within its progress_deadline of 0.5 s" in row.status_description


async def test_what_the_log_did_not_take_is_judged_again_with_the_next_tick(kit, monkeypatch):
    await kit.node()
    context, right, refused = kit.server.context, kit.server.context.propose, []

    async def propose(command: Any, **facts: Any) -> Any:
        if isinstance(command, DeploymentStatusUpdate) and not refused:
            refused.append(command)
            raise Unavailable("the log is busy", retry_after_s=0.1)
        return await right(command, **facts)

    monkeypatch.setattr(context, "propose", propose)
    await kit.run_and_settle(web(progress_deadline_ns=NS_PER_S, min_healthy_time_ns=0, healthy_deadline_ns=1))
    began = context.clock.mono_s()
    await reached(kit, DeploymentStatus.FAILED, 0)
    assert refused and context.clock.mono_s() - began < ROUND_S / 2


async def test_a_failed_allocation_of_a_rollout_is_replaced(kit):
    node = await kit.node()
    policy = ReschedulePolicy(delay_ns=5 * NS_PER_S, delay_function="constant")
    await kit.run_and_settle(web(count=1, policy=policy))
    first = kit.live("web")[0]
    await kit.report(node, first, ClientStatus.FAILED, healthy=False)
    again = await kit.until("the replacement", lambda: [a for a in kit.live("web") if a.id != first.id])
    assert again[0].previous_allocation == first.id
    await kit.report(node, again[0], ClientStatus.RUNNING, healthy=True)
    await reached(kit, DeploymentStatus.SUCCESSFUL, 0)


@pytest.mark.parametrize("promotes_itself", [True, False])
async def test_dp5_canaries_wait_or_promote_themselves(kit, promotes_itself):
    node = await kit.node()
    await stable(kit, node)
    await kit.run_and_settle(web(cpu=200, canary=1, auto_promote=promotes_itself))
    canary = of_version(kit, 1)
    assert len(canary) == 1
    assert len(of_version(kit, 0)) == 2
    if promotes_itself:
        await all_healthy(kit, node, 1, until=DeploymentStatus.SUCCESSFUL)
        assert len(of_version(kit, 1)) == 2
        return
    await kit.report(node, canary[0], ClientStatus.RUNNING, healthy=True)
    row = await kit.until(
        "the canary to count", lambda: (d := latest(kit)) and d.task_groups["g"].healthy_allocs and d
    )
    assert row.status == DeploymentStatus.RUNNING
    assert not row.task_groups["g"].promoted
    assert len(of_version(kit, 0)) == 2


async def test_promoting_by_hand_lets_the_rest_roll(kit):
    node = await kit.node()
    await stable(kit, node)
    await kit.run_and_settle(web(cpu=200, canary=1))
    row = latest(kit)
    with pytest.raises(InvalidInput, match="0 healthy canaries of 1"):
        await kit.call(methods.DEPLOYMENT_PROMOTE, m.DeploymentPromoteRequest(deployment_id=row.id, all=True))
    await kit.report(node, of_version(kit, 1)[0], ClientStatus.RUNNING, healthy=True)
    with pytest.raises(InvalidInput, match="which groups"):
        await kit.call(methods.DEPLOYMENT_PROMOTE, m.DeploymentPromoteRequest(deployment_id=row.id))
    request = m.DeploymentPromoteRequest(deployment_id=row.id[:8], groups=("g",))
    answer = await kit.call(methods.DEPLOYMENT_PROMOTE, request)
    await kit.settled(answer.eval_id)
    await all_healthy(kit, node, 1, until=DeploymentStatus.SUCCESSFUL)
    assert {alloc.job_version for alloc in kit.live("web")} == {1}


async def test_dp6_a_paused_rollout_waits_and_begins_its_clock_anew(kit):
    await kit.node()
    await kit.run_and_settle(web(progress_deadline_ns=2 * NS_PER_S, healthy_deadline_ns=1))
    row = latest(kit)
    await kit.call(methods.DEPLOYMENT_PAUSE, m.DeploymentPauseRequest(deployment_id=row.id, pause=True))
    with pytest.raises(Conflict, match="already paused"):
        await kit.call(methods.DEPLOYMENT_PAUSE, m.DeploymentPauseRequest(deployment_id=row.id, pause=True))
    assert latest(kit).task_groups["g"].require_progress_by_ns == 0
    resume = m.DeploymentPauseRequest(deployment_id=row.id, pause=False)
    answer = await kit.call(methods.DEPLOYMENT_PAUSE, resume)
    assert answer.eval_id
    await reached(kit, DeploymentStatus.FAILED, 0)


async def test_failing_and_judging_by_hand(kit):
    node = await kit.node()
    await stable(kit, node)
    await kit.run_and_settle(web(cpu=200, auto_revert=True, health_check="manual"))
    row = latest(kit)
    fresh = of_version(kit, 1)[0]
    good = m.DeploymentHealthRequest(deployment_id=row.id, healthy_allocation_ids=(fresh.id,))
    await kit.call(methods.DEPLOYMENT_HEALTH, good)
    assert latest(kit).task_groups["g"].healthy_allocs == 1
    answer = await kit.call(methods.DEPLOYMENT_FAIL, m.DeploymentFailRequest(deployment_id=row.id))
    assert answer.reverted_job_version == 0
    await kit.settled(answer.eval_id)
    listed = await kit.call(methods.JOB_DEPLOYMENTS, m.IdQuery(id="web"))
    assert [each.job_version for each in listed.deployments] == [2, 1, 0]
    newest = await kit.call(methods.JOB_LATEST_DEPLOYMENT, m.IdQuery(id="web"))
    assert newest.deployment.job_version == 2
    mine = await kit.call(methods.DEPLOYMENT_ALLOCS, m.IdQuery(id=row.id))
    assert fresh.id in [each.id for each in mine.allocations]
    failed = await kit.call(methods.DEPLOYMENT_LIST, m.DeploymentListRequest(status="failed"))
    assert [each.id for each in failed.deployments] == [row.id]


async def test_a_revert_goes_back_without_canaries(kit):
    node = await kit.node()
    await stable(kit, node)
    await kit.run_and_settle(web(cpu=200))
    await all_healthy(kit, node, 1, until=DeploymentStatus.SUCCESSFUL)
    await kit.run_and_settle(web(cpu=300, canary=2))
    state = kit.server.context.state
    with pytest.raises(Conflict, match="enforcing version 7"):
        await kit.call(
            methods.JOB_REVERT, m.JobRevertRequest(job_id="web", job_version=0, enforce_prior_version=7)
        )
    for version, error in ((2, InvalidInput), (9, NotFound)):
        with pytest.raises(error):
            await kit.call(methods.JOB_REVERT, m.JobRevertRequest(job_id="web", job_version=version))
    answer = await kit.call(methods.JOB_REVERT, m.JobRevertRequest(job_id="web", job_version=1))
    assert answer.version == 3
    await kit.settled(answer.eval_id)
    assert state.job("default", "web").task_groups[0].tasks[0].resources.cpu == 200
    await all_healthy(kit, node, 3, until=DeploymentStatus.SUCCESSFUL)
    assert len(kit.live("web")) == 2


async def test_tags_keep_versions_and_jobs(kit):
    await kit.node()
    await kit.run_and_settle(web())
    tagged = await kit.call(methods.JOB_TAG, m.JobTagRequest(job_id="web", name="good", description="d"))
    assert (tagged.version, tagged.tag.name) == (0, "good")
    await kit.call(methods.JOB_STABLE, m.JobStableRequest(job_id="web", job_version=0))
    assert versions(kit) == [(0, True)]
    gone = await kit.call(methods.JOB_TAG, m.JobTagRequest(job_id="web", name="good", unset=True))
    assert gone.tag is None
