"""`job scale`: rules, events, and its effect on a server role in memory."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.model.deployment import Deployment
from daemon.model.enums import JobType
from daemon.model.errors import InvalidInput, NotFound
from daemon.model.scaling import EVENTS_KEPT, ScalingPolicy
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.state import commands as c
from daemon.state.state import State
from tests.server.serverkit import Kit, make_job
from tests.state.state_factory import World, uid


def scaled(world: World, count: int | None = None, **how: Any) -> Any:
    command = c.JobScale(time_ns=5, namespace="default", job_id="web", group="g", count=count, **how)
    return world.apply(command).result


def test_a_count_is_a_new_version_and_an_event() -> None:
    world = World()
    world.job("web", count=2)
    result = scaled(world, 4, message="more", meta={"by": "me"})
    assert result.changed and result.version == 1
    job = world.state.job("default", "web")
    assert job is not None and job.task_groups[0].count == 4
    row = world.state.scaling("default", "web")
    assert row is not None
    [event] = row.groups["g"]
    assert (event.count, event.previous_count, event.message) == (4, 2, "more")
    assert not scaled(world, 4).changed
    again = State.restore(world.state.snapshot().pieces())
    assert again.scaling("default", "web") == world.state.scaling("default", "web")


def test_calls_without_a_count_are_only_noted_and_twenty_are_kept() -> None:
    world = World()
    world.job("web")
    for number in range(EVENTS_KEPT + 5):
        result = scaled(world, message=str(number), error=True)
        assert not result.changed and not result.eval_id
    row = world.state.scaling("default", "web")
    assert row is not None
    assert [event.message for event in row.groups["g"]] == [str(n) for n in range(24, 4, -1)]
    world.apply(c.JobDeregister(time_ns=6, namespace="default", job_id="web", purge=True))
    assert world.state.scaling("default", "web") is None


def test_vr4_nothing_is_scaled_while_a_deployment_is_under_way() -> None:
    world = World()
    job = world.job("web")
    deployment = Deployment(id=uid(1, 9), job_id="web", job_version=job.version)
    world.apply(
        c.PlanApply(
            time_ns=2, eval_id="", namespace="default", job_id="web", job_version=0, deployment=deployment
        )
    )
    result = scaled(world, 5)
    assert isinstance(result, InvalidInput) and "under way" in result.message
    assert not isinstance(scaled(world, message="noted all the same"), InvalidInput)
    stored = world.state.job("default", "web")
    assert stored is not None and stored.version == 0


@pytest.mark.parametrize(
    ("facts", "count", "words"),
    [
        ({}, -1, "less than none"),
        ({"stop": True}, 2, "stopped"),
        ({"type": JobType.SYSTEM, "count": 1}, 2, "once on every node"),
    ],
)
def test_what_cannot_be_scaled(facts: dict[str, Any], count: int, words: str) -> None:
    world = World()
    world.job("web", **facts)
    result = scaled(world, count)
    assert isinstance(result, InvalidInput) and words in result.message


def test_unknown_jobs_and_groups() -> None:
    world = World()
    assert isinstance(scaled(world, 1), NotFound)
    world.job("web")
    unknown = c.JobScale(time_ns=5, namespace="default", job_id="web", group="h", count=1)
    assert isinstance(world.apply(unknown).result, NotFound)


async def test_scaling_places_and_stops_and_keeps_to_its_block(kit: Kit) -> None:
    await kit.node()
    group = {"scaling": ScalingPolicy(min=1, max=4)}
    await kit.run_and_settle(make_job("work", type=JobType.BATCH, count=1, group=group))

    async def scale(count: int) -> m.JobScaleResponse:
        return await kit.call(methods.JOB_SCALE, m.JobScaleRequest(job_id="work", count=count))

    answer = await scale(4)
    await kit.settled(answer.eval_id)
    assert len(kit.live("work")) == 4
    with pytest.raises(InvalidInput, match="outside of its scaling block, 1 to 4"):
        await scale(5)
    await kit.settled((await scale(2)).eval_id)
    assert len(kit.live("work")) == 2
    status = await kit.call(methods.JOB_SCALE_STATUS, m.IdQuery(id="work"))
    assert status.counts == {"g": 2} and [event.count for event in status.events["g"]] == [2, 4]


async def test_registering_with_preserved_counts_keeps_what_was_scaled(kit: Kit) -> None:
    job = make_job("work", type=JobType.BATCH, count=1)
    await kit.run(job)
    await kit.call(methods.JOB_SCALE, m.JobScaleRequest(job_id="work", count=3))
    await kit.call(methods.JOB_REGISTER, m.JobRegisterRequest(job=job, preserve_counts=True))
    stored = kit.server.context.state.job("default", "work")
    assert stored is not None and (stored.task_groups[0].count, stored.version) == (3, 1)
    await kit.run(job)
    again = kit.server.context.state.job("default", "work")
    assert again is not None and again.task_groups[0].count == 1
