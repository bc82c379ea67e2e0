"""Rollouts of service jobs: deployments, canaries, promotion, pausing and failing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from daemon.model.alloc import Allocation, DesiredTransition
from daemon.model.enums import ClientStatus, DeploymentStatus, JobType, NodeStatus, TaskStateName
from daemon.model.job import Job
from daemon.model.plan import Attempt
from daemon.model.policies import ReschedulePolicy, UpdateStrategy
from daemon.model.tasks import TaskState
from tests.scheduler.fleetkit import MiniWorld, make_eval, make_group, make_job, make_node


def newer(job: Job, **facts: Any) -> Job:
    return msgspec.structs.replace(
        job, version=job.version + 1, job_modify_index=job.job_modify_index + 10, **facts
    )


def job_of(count: int = 10, canary: int = 0, max_parallel: int = 2, cpu: int = 500, **facts: Any) -> Job:
    update = UpdateStrategy(canary=canary, max_parallel=max_parallel)
    policy = facts.pop("policy", ReschedulePolicy())
    return make_job(make_group(count=count, cpu=cpu, update=update, reschedule_policy=policy), **facts)


def changed(job: Job, cpu: int) -> Job:
    [group] = job.task_groups
    return newer(
        job, task_groups=(msgspec.structs.replace(group, tasks=make_group(cpu=cpu, memory=256).tasks),)
    )


def settled(job: Job, nodes: int = 8) -> MiniWorld:
    """A world in which the job runs, healthy, its first rollout over."""
    w = MiniWorld([make_node(str(i)) for i in range(nodes)])
    w.run(job)
    w.all_running(healthy=True)
    w.run(job)
    assert w.deployment is None or w.deployment.status == DeploymentStatus.SUCCESSFUL
    return w


def is_canary(alloc: Allocation) -> bool:
    return alloc.deployment_status is not None and alloc.deployment_status.canary


def canaries(w: MiniWorld) -> list[Allocation]:
    return [alloc for alloc in w.live() if is_canary(alloc)]


def versions(w: MiniWorld) -> dict[int, int]:
    """Job version -> live allocations."""
    found = [alloc.job_version for alloc in w.live()]
    return {version: found.count(version) for version in sorted(set(found))}


def fail(w: MiniWorld, alloc: Allocation) -> None:
    state = TaskState(state=TaskStateName.DEAD, failed=True, finished_at_ns=w.now)
    w.judge(alloc.id, False, client_status=ClientStatus.FAILED, task_states={"main": state})


def lose(w: MiniWorld, node_id: str) -> None:
    w.set_node(msgspec.structs.replace(w.nodes[node_id], status=NodeStatus.DOWN))


# -- beginning and end ---------------------------------------------------------------------------------


def test_a_first_version_has_a_deployment_and_its_health_ends_it() -> None:
    w = MiniWorld([make_node(str(i)) for i in range(4)])
    job = job_of(3)
    first = w.run(job).plan
    assert first.deployment is not None and first.deployment.task_groups["web"].desired_total == 3
    assert {alloc.deployment_id for alloc in w.live()} == {first.deployment.id}
    assert w.run(job).plan.empty
    for alloc in w.live():
        assert w.run(job).plan.empty
        w.judge(alloc.id, True, client_status=ClientStatus.RUNNING)
    [change] = w.run(job).plan.deployment_changes
    assert change.status == DeploymentStatus.SUCCESSFUL
    assert w.run(job).plan.empty


@pytest.mark.parametrize("kind", ["max_parallel 0", "batch", "no block"])
def test_what_is_not_paced_has_no_deployment(kind: str) -> None:
    w = MiniWorld([make_node("a")])
    job = job_of(2, max_parallel=0) if kind == "max_parallel 0" else make_job(make_group(count=2))
    if kind == "batch":
        job = msgspec.structs.replace(job_of(2), type=JobType.BATCH)
    plan = w.run(job).plan
    assert plan.placements == 2 and plan.deployment is None
    assert {alloc.deployment_id for alloc in w.live()} == {""}


def test_a_count_alone_has_one_too_and_running_ones_join_it() -> None:
    job = job_of(3)
    w = settled(job)
    [group] = job.task_groups
    job = newer(job, task_groups=(msgspec.structs.replace(group, count=5),))
    plan = w.run(job).plan
    assert plan.deployment is not None and plan.deployment.task_groups["web"].desired_total == 5
    assert len(plan.in_place) == 3 and plan.placements == 2
    assert {alloc.deployment_id for alloc in w.live()} == {plan.deployment.id}


def test_lost_nodes_and_failures_begin_no_deployment() -> None:
    job = job_of(3)
    w = settled(job)
    lose(w, w.live()[0].node_id)
    plan = w.run(job).plan
    assert plan.placements and plan.deployment is None and not plan.deployment_changes
    for alloc in w.live():
        w.change(alloc.id, client_status=ClientStatus.COMPLETE)
    assert w.run(job).plan.deployment is None


def test_a_stopped_job_cancels_its_deployment() -> None:
    w = MiniWorld([make_node("a")])
    job = job_of(2)
    w.run(job)
    [change] = w.run(newer(job, stop=True)).plan.deployment_changes
    assert change.status == DeploymentStatus.CANCELLED and not w.live()


def test_all_of_a_rolling_update_until_it_is_complete() -> None:
    job = job_of(6, max_parallel=2)
    w = settled(job)
    job = changed(job, 600)
    steps = 0
    while not w.deployment or w.deployment.job_version != 1 or w.deployment.active:
        plan = w.run(job).plan
        assert w.run(job).plan.empty and len(plan.allocs) <= 2 and len(w.live()) == 6
        w.all_running(healthy=True)
        steps += 1
        assert steps < 6
    assert versions(w) == {1: 6} and w.deployment.status == DeploymentStatus.SUCCESSFUL


# -- canaries ------------------------------------------------------------------------------------------


def test_rc9_canaries_come_beside_the_old_ones_and_nothing_else_moves() -> None:
    job = job_of(10, canary=2)
    w = settled(job)
    job = changed(job, 600)
    attempt = w.run(job)
    assert [(block.canary, block.count) for block in attempt.plan.blocks] == [(True, 2)]
    assert not attempt.plan.allocs and not attempt.plan.stops and not attempt.plan.in_place
    assert [alloc.index for alloc in canaries(w)] == [0, 1] and len(w.live()) == 12
    assert w.deployment is not None
    state = w.deployment.task_groups["web"]
    assert (state.desired_canaries, state.desired_total) == (2, 10)
    assert set(state.placed_canaries) == {alloc.id for alloc in canaries(w)}
    assert w.run(job).plan.empty
    w.all_running(healthy=True)
    assert w.run(job).plan.empty


def test_rc10_promotion_replaces_the_namesakes_and_rolls_the_rest() -> None:
    job = job_of(10, canary=2, max_parallel=3)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    w.all_running(healthy=True)
    w.promote()
    plan = w.run(job).plan
    loose = [w.allocs[stop.alloc_id].index for stop in plan.stops if not stop.replaced_by]
    assert sorted(loose) == [0, 1] and [alloc.index for alloc in plan.allocs] == [2, 3, 4]
    assert versions(w) == {0: 5, 1: 5} and w.run(job).plan.empty
    for _ in range(4):
        w.all_running(healthy=True)
        w.run(job)
    assert versions(w) == {1: 10}
    assert w.deployment is not None and w.deployment.status == DeploymentStatus.SUCCESSFUL


def test_blue_green_is_a_canary_for_each() -> None:
    job = job_of(4, canary=4)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    assert versions(w) == {0: 4, 1: 4}
    w.all_running(healthy=True)
    w.promote()
    plan = w.run(job).plan
    assert versions(w) == {1: 4} and not plan.placements
    [change] = plan.deployment_changes
    assert change.status == DeploymentStatus.SUCCESSFUL and w.run(job).plan.empty


def test_rc12_a_newer_version_ends_the_canaries_of_the_one_before() -> None:
    job = job_of(4, canary=1)
    w = settled(job)
    second = changed(job, 600)
    w.run(second)
    [old] = canaries(w)
    third = changed(second, 700)
    plan = w.run(third).plan
    assert [change.status for change in plan.deployment_changes] == [DeploymentStatus.CANCELLED]
    assert [stop.alloc_id for stop in plan.stops] == [old.id]
    assert [alloc.job_version for alloc in canaries(w)] == [2] and versions(w) == {0: 4, 2: 1}
    assert w.run(third).plan.empty


@pytest.mark.parametrize("status", [DeploymentStatus.PAUSED, DeploymentStatus.FAILED])
def test_rc13_a_paused_or_failed_deployment_only_replaces_what_is_lost(status: DeploymentStatus) -> None:
    job = job_of(6, max_parallel=2)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    w.all_running(healthy=True)
    w.finish_stopping()
    w.set_deployment(status)
    assert w.run(job).plan.empty
    lost = w.live()[0]
    lose(w, lost.node_id)
    gone = [alloc for alloc in w.live() if alloc.node_id == lost.node_id]
    plan = w.run(job).plan
    assert plan.placements == len(gone) == len(plan.stops) and len(w.live()) == 6
    assert w.run(job).plan.empty


@pytest.mark.parametrize("status", [DeploymentStatus.PAUSED, DeploymentStatus.FAILED])
def test_rc13_no_canaries_and_nothing_new_while_paused_or_failed(status: DeploymentStatus) -> None:
    job = job_of(3, canary=2)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    for alloc in canaries(w):
        w.change(alloc.id, client_status=ClientStatus.COMPLETE)
    old = w.live()[0]
    w.change(old.id, client_status=ClientStatus.COMPLETE)
    w.set_deployment(status)
    assert not w.run(job).plan.placements and w.run(job).plan.empty
    if status == DeploymentStatus.PAUSED:
        w.set_deployment(DeploymentStatus.RUNNING)
        w.run(job)
        assert len(canaries(w)) == 2


def test_canaries_of_a_failed_deployment_end() -> None:
    job = job_of(3, canary=1)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    w.set_deployment(DeploymentStatus.FAILED)
    w.run(job)
    assert versions(w) == {0: 3} and w.run(job).plan.empty


def test_rc14_the_old_version_replaces_what_is_lost_of_it_and_a_canary_a_canary() -> None:
    job = job_of(4, canary=1)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    w.all_running(healthy=True)
    [canary] = canaries(w)
    old = next(alloc for alloc in w.live() if alloc.node_id != canary.node_id)
    lose(w, old.node_id)
    w.run(job)
    assert versions(w) == {0: 4, 1: 1}
    fresh = next(alloc for alloc in w.live() if alloc.previous_allocation == old.id)
    assert fresh.job_version == 0 and not fresh.deployment_id and fresh.job_spec_index == 10
    assert fresh.allocated_resources.usage.cpu == 500
    lose(w, canary.node_id)
    w.run(job)
    assert versions(w) == {0: 4, 1: 1} and canaries(w)[0].id != canary.id
    assert w.run(job).plan.empty


def test_a_failed_old_one_is_replaced_by_its_policy_from_the_old_version_while_canaries_run() -> None:
    job = job_of(3, canary=1)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    old = next(alloc for alloc in w.live() if not is_canary(alloc))
    fail(w, old)
    [later] = [e for e in w.run(job).new_evals if e.wait_until_ns]
    w.now = later.wait_until_ns
    w.run(job, evaluation=later)
    assert versions(w) == {0: 3, 1: 1}


def test_canaries_on_a_draining_node_end_and_others_come() -> None:
    job = job_of(3, canary=1)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    [canary] = canaries(w)
    w.change(canary.id, desired_transition=DesiredTransition(migrate=True))
    w.run(job)
    assert [alloc.id for alloc in canaries(w)] != [canary.id] and len(canaries(w)) == 1
    assert versions(w) == {0: 3, 1: 1}
    assert w.run(job).plan.empty


def test_old_ones_that_migrate_while_canaries_run_stay_old() -> None:
    job = job_of(3, canary=1)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    old = next(alloc for alloc in w.live() if not is_canary(alloc))
    w.change(old.id, desired_transition=DesiredTransition(migrate=True))
    w.run(job)
    assert versions(w) == {0: 3, 1: 1}


# -- failures inside a rollout -------------------------------------------------------------------------


def test_failures_of_an_active_deployment_are_replaced_only_when_asked() -> None:
    w = MiniWorld([make_node("a"), make_node("b")])
    job = job_of(2)
    w.run(job)
    victim = w.live()[0]
    fail(w, victim)
    attempt = w.run(job)
    assert attempt.plan.empty and not attempt.new_evals
    w.change(victim.id, desired_transition=DesiredTransition(reschedule=True))
    [later] = w.run(job).new_evals
    w.now = later.wait_until_ns
    w.run(job, evaluation=later)
    assert len(w.live()) == 2


def test_a_failure_that_nobody_asked_for_is_taken_up_when_the_rollout_ends() -> None:
    w = MiniWorld([make_node("a"), make_node("b")])
    job = job_of(2)
    w.run(job)
    first, second = w.live()
    w.judge(first.id, True, client_status=ClientStatus.RUNNING)
    w.judge(second.id, True, client_status=ClientStatus.RUNNING)
    state = TaskState(state=TaskStateName.DEAD, failed=True, finished_at_ns=w.now)
    w.change(second.id, client_status=ClientStatus.FAILED, task_states={"main": state})
    attempt = w.run(job)
    assert w.deployment is not None and w.deployment.status == DeploymentStatus.SUCCESSFUL
    [later] = attempt.new_evals
    w.now = later.wait_until_ns
    w.run(job, evaluation=later)
    assert len(w.live()) == 2 and second.id not in {alloc.id for alloc in w.live()}


def test_a_failed_canary_that_may_be_replaced_is_replaced_by_a_canary() -> None:
    job = job_of(3, canary=1)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    [canary] = canaries(w)
    fail(w, canary)
    w.change(canary.id, desired_transition=DesiredTransition(reschedule=True))
    [later] = w.run(job).new_evals
    assert not canaries(w)
    w.now = later.wait_until_ns
    w.run(job, evaluation=later)
    [fresh] = canaries(w)
    assert fresh.previous_allocation == canary.id and fresh.name == canary.name
    assert w.deployment is not None and fresh.id in w.deployment.task_groups["web"].placed_canaries


def test_the_plan_says_how_many_canaries_it_would_place() -> None:
    job = job_of(5, canary=2)
    w = settled(job)
    job = changed(job, 600)
    attempt: Attempt = w.run(job, evaluation=make_eval(job, annotate_plan=True))
    notes = attempt.plan.annotations["web"]
    assert (notes.canary, notes.place, notes.destructive_update, notes.ignore) == (2, 0, 5, 5)
