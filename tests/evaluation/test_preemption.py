"""Preemption as the leader runs it: rounds to see the neighbours, the check, apply, and the losers' evaluations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from daemon.evaluation.plan_check import check_plan
from daemon.model.alloc import Allocation
from daemon.model.enums import DesiredStatus, Eligibility, EvalStatus, JobType, Trigger
from daemon.model.node import DeviceInstance, NodeDevice
from daemon.model.plan import Attempt, EvalInput
from daemon.model.resources import DeviceRequest, Network, Port, Resources
from daemon.model.scheduler_config import PreemptionConfig, SchedulerConfig
from daemon.scheduler import preempt
from daemon.scheduler.schedule import schedule, schedule_seeing
from daemon.state import commands as c
from daemon.state.neighbours import neighbours, seeing
from daemon.state.units import units_of
from tests.evaluation.test_attempts import ScriptedPool, World
from tests.scheduler.fleetkit import NOW, make_eval, make_group, make_job, make_node, make_task

ALL = SchedulerConfig(preemption_config=PreemptionConfig(service_scheduler_enabled=True))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.service.close()


async def place(world: World, **job: Any) -> list[EvalInput]:
    """Run a job to its end with preemption for all; the inputs that the worker saw."""

    def answer(item: EvalInput, _number: int) -> Attempt:
        return schedule(msgspec.structs.replace(item, config=ALL), world.fleet())

    if not isinstance(world.service.pool, ScriptedPool):
        world.service.pool = ScriptedPool(world.service, answer)  # type: ignore[assignment]
        await world.service.start()
    pool = world.service.pool
    assert isinstance(pool, ScriptedPool)
    made = make_job(**job)
    evaluation = make_eval(made, id=f"00000000-0000-4000-9000-{world.state.index:012x}")
    world.propose(c.JobRegister(time_ns=NOW, job=made, evaluation=evaluation))
    async with asyncio.timeout(10):
        while any(e.status == EvalStatus.PENDING for e in world.state.evals()):
            await asyncio.sleep(0)
    return pool.inputs


def live(world: World, job_id: str) -> list[Allocation]:
    return [alloc for alloc in world.state.allocs_by_job("default", job_id) if not alloc.terminal]


async def test_pr6_the_victims_are_evicted_and_their_jobs_evaluated(world: World) -> None:
    world.node("a")
    await place(world, id="low", priority=30, task_groups=(make_group(count=4, cpu=900),))
    inputs = await place(world, id="high", priority=70, task_groups=(make_group(count=1, cpu=2000),))
    [winner] = live(world, "high")
    assert len(winner.preempted_allocations) == 2
    for victim_id in winner.preempted_allocations:
        victim = world.state.alloc(victim_id)
        assert victim is not None and victim.desired_status == DesiredStatus.EVICT
        assert victim.preempted_by_allocation == winner.id and "high" in victim.desired_description
    [lost] = [e for e in world.state.evals_by_job("default", "low") if e.triggered_by == Trigger.PREEMPTION]
    assert lost.priority == 30 and lost.type == "service"
    assert any(e.status == EvalStatus.BLOCKED for e in world.state.evals_by_job("default", "low"))
    # seen on the second round, which is no second attempt.
    mine = [item for item in inputs if item.job is not None and item.job.id == "high"]
    assert [bool(item.neighbours) for item in mine] == [False, True]
    assert [item.attempt for item in mine] == [1, 1]
    assert winner.metrics is not None
    [score] = winner.metrics.score_meta_data
    assert score.scores["preemption"] > 0.99 and score.norm_score == pytest.approx(
        sum(score.scores.values()) / len(score.scores)
    )


async def test_jobs_of_nearly_the_same_priority_are_left_alone(world: World) -> None:
    world.node("a")
    await place(world, id="low", priority=61, task_groups=(make_group(count=1, cpu=4000),))
    await place(world, id="high", priority=70, task_groups=(make_group(count=1, cpu=2000),))
    assert live(world, "low") and not live(world, "high")


async def test_services_do_not_preempt_unless_they_may(world: World) -> None:
    world.node("a")
    await place(world, id="low", priority=30, task_groups=(make_group(count=1, cpu=4000),))
    item = _input(world, priority=90, task_groups=(make_group(count=1, cpu=2000),))
    attempt = schedule(item, world.fleet())
    assert not attempt.wants_nodes and attempt.evaluation.failed_tg_allocs


async def test_system_jobs_preempt_by_default_on_each_full_node(world: World) -> None:
    world.node("a")
    world.node("b")
    await place(world, id="low", priority=30, task_groups=(make_group(count=1, cpu=4000),))
    item = _input(world, type=JobType.SYSTEM, priority=80, task_groups=(make_group(cpu=1000),))
    attempt = schedule(item, world.fleet())
    assert len(attempt.wants_nodes) == 1
    attempt = schedule(seeing(world.state, item, attempt.wants_nodes), world.fleet())
    assert not attempt.wants_nodes and not attempt.evaluation.failed_tg_allocs
    assert attempt.plan.placements == 2 and len(attempt.plan.stops) == 1


def _input(world: World, **job: Any) -> EvalInput:
    made = make_job(**({"id": "high"} | job))
    return EvalInput(evaluation=make_eval(made), job=made, seed=3, index=world.state.index)


def _attempt(world: World, **job: Any) -> Attempt:
    item = msgspec.structs.replace(_input(world, **job), config=ALL)
    assert item.job is not None
    own = item.job
    return schedule_seeing(item, world.fleet(), lambda nodes: neighbours(world.state, own, nodes))


async def test_pa6_a_full_node_takes_what_the_plan_makes_room_for(world: World) -> None:
    world.node("a")
    await place(world, id="low", priority=30, task_groups=(make_group(count=4, cpu=1000),))
    attempt = _attempt(world, priority=70, task_groups=(make_group(count=2, cpu=1500),))
    plan = attempt.plan
    # the second needs one victim less: what the first one's victims leave is there for it.
    assert [len(alloc.preempted_allocations) for alloc in plan.allocs] == [2, 1]
    checked = check_plan(world.service.tracker, plan, world.state.alloc)
    assert checked.result.full and checked.plan is plan
    bare = msgspec.structs.replace(plan, stops=())
    assert not check_plan(world.service.tracker, bare, world.state.alloc).result.full
    node = world.state.node("node-a")
    assert node is not None
    world.node("a", scheduling_eligibility=Eligibility.INELIGIBLE)
    stale = msgspec.structs.replace(plan, node_epochs={"node-a": node.epoch + 7})
    refused = check_plan(world.service.tracker, stale, world.state.alloc)
    assert refused.plan.empty, "victims of a refused placement go on"


async def test_pr3_a_static_port_of_something_important_stays_where_it_is(world: World) -> None:
    network = (Network(reserved_ports=(Port(label="http", value=80),)),)
    for name in ("a", "b"):
        world.node(name)
    group = make_group(count=1, networks=network)
    await place(world, id="important", priority=65, task_groups=(group,))
    [held] = live(world, "important")
    await place(world, id="low", priority=30, task_groups=(group,))
    [other] = live(world, "low")
    attempt = _attempt(world, priority=70, task_groups=(group,))
    [alloc] = attempt.plan.allocs
    assert alloc.node_id == other.node_id != held.node_id
    assert alloc.preempted_allocations == (other.id,)
    assert check_plan(world.service.tracker, attempt.plan, world.state.alloc).result.full


async def test_the_best_node_is_the_one_with_the_highest_score(world: World) -> None:
    """Two nodes would serve; on one of them what is left after the victim fits exactly."""
    world.node("a", cpu=2000, memory=2000)
    world.node("b", cpu=4000, memory=4000)
    await place(world, id="low", priority=30, task_groups=(make_group(count=2, cpu=1800, memory=1800),))
    if {alloc.node_id for alloc in live(world, "low")} == {"node-b"}:
        await place(world, id="more", priority=30, task_groups=(make_group(count=1, cpu=1800, memory=1800),))
    attempt = _attempt(world, priority=70, task_groups=(make_group(count=1, cpu=1900, memory=1900),))
    if attempt.plan.allocs:
        assert attempt.plan.allocs[0].node_id == "node-a"


async def test_nodes_are_asked_for_some_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preempt, "NODES_A_ROUND", 2)
    for i in range(5):
        world.node(str(i))
    await place(world, id="low", priority=30, task_groups=(make_group(count=5, cpu=4000),))
    inputs = await place(world, id="high", priority=70, task_groups=(make_group(count=4, cpu=2000),))
    assert [len(item.neighbours) for item in inputs if item.job and item.job.id == "high"] == [0, 2, 4, 5]
    # room that one victim leaves is used before another has to go.
    assert len(live(world, "high")) == 4 and len(live(world, "low")) == 3


async def test_pr4_the_holder_of_the_devices_is_seen_and_goes(world: World) -> None:
    gpu = NodeDevice(vendor="nvidia", type="gpu", name="t4", instances=(DeviceInstance(id="0"),))
    node = make_node("a")
    world.node("a", node_resources=msgspec.structs.replace(node.node_resources, devices=(gpu,)))
    await place(world, id="idle", priority=20, task_groups=(make_group(cpu=100),))
    asked = make_task(resources=Resources(cpu=100, memory_mb=10, devices=(DeviceRequest(name="gpu"),)))
    await place(world, id="low", priority=30, task_groups=(make_group(tasks=(asked,)),))
    [holder] = live(world, "low")
    await place(world, id="high", priority=70, task_groups=(make_group(tasks=(asked,)),))
    [winner] = live(world, "high")
    assert winner.preempted_allocations == (holder.id,)
    assert units_of(winner) == units_of(holder) == ("nvidia/gpu/t4:0",)
    assert live(world, "idle")
