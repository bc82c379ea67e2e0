"""Garbage collection: the reference's cases on a state, with ages by the leader's clock."""

from __future__ import annotations

import pytest

from daemon.model.base import NS_PER_S
from daemon.model.enums import ClientStatus, DesiredStatus, JobStatus, JobType
from daemon.model.policies import PeriodicConfig
from daemon.server.collect import Ages, collectable
from daemon.state import commands as c
from tests.state.state_factory import World, alloc, done, stop

HOUR = 3600 * NS_PER_S
START = 100 * HOUR


def collect(world: World, after_h: float) -> None:
    """Collect as the leader would so many hours later."""
    for command in collectable(world.state, START + int(after_h * HOUR), Ages()):
        if command is not None:
            world.apply(command)


def ended(world: World, *statuses: ClientStatus, job_id: str = "web", **facts: object) -> list[str]:
    """A job with one finished evaluation that placed allocations which are now as given. Returns their ids."""
    node, job = world.node(1), world.job(job_id, submit_time_ns=START, **facts)
    evaluation = done(1, job_id, type=job.type)
    placed = tuple(alloc(n, node, job, eval_id=evaluation.id) for n in range(len(statuses)))
    world.apply(
        c.PlanApply(time_ns=START, eval_id=evaluation.id, namespace="default", job_id=job_id, job_version=0,
                    allocs=placed, node_epochs={node.id: node.epoch}, evaluations=(evaluation,))
    )  # fmt: skip
    updates = tuple(
        c.ClientUpdate(alloc_id=one.id, client_status=status)
        for one, status in zip(placed, statuses, strict=True)
    )
    world.apply(c.AllocClientUpdate(time_ns=START, node_id=node.id, updates=updates))
    return [one.id for one in placed]


@pytest.mark.parametrize("last", [ClientStatus.COMPLETE, ClientStatus.RUNNING])
def test_gc1_an_evaluation_goes_with_all_of_its_allocations_or_not_at_all(last: ClientStatus) -> None:
    world = World()
    first, second = ended(world, ClientStatus.COMPLETE, last)
    [evaluation] = world.state.evals()
    collect(world, 0.5)
    assert world.state.alloc(first) is not None
    collect(world, 2)
    assert world.state.alloc(first) is None
    running = last == ClientStatus.RUNNING
    assert (world.state.alloc(second) is not None) is running
    assert (world.state.eval(evaluation.id) is not None) is running


def test_gc2_a_finished_batch_job_keeps_its_allocations_until_the_job_goes() -> None:
    world = World()
    ids = ended(world, ClientStatus.COMPLETE, job_id="work", type=JobType.BATCH)
    job = world.state.job("default", "work")
    assert job is not None and job.status == JobStatus.DEAD
    collect(world, 3.9)
    assert world.state.alloc(ids[0]) is not None and world.state.job("default", "work") is not None
    collect(world, 4)
    assert world.state.job("default", "work") is None
    assert world.state.alloc(ids[0]) is None and list(world.state.evals()) == []


def test_gc2_evaluations_of_a_batch_job_that_goes_on_do_not_take_its_latest_allocations() -> None:
    world = World()
    ids = ended(world, ClientStatus.COMPLETE, ClientStatus.RUNNING, job_id="work", type=JobType.BATCH)
    collect(world, 1000)
    assert all(world.state.alloc(id_) is not None for id_ in ids)


@pytest.mark.parametrize("tagged", [False, True])
def test_gc4_a_stopped_service_goes_after_four_hours_unless_a_version_is_tagged(tagged: bool) -> None:
    world = World()
    [id_] = ended(world, ClientStatus.RUNNING)
    if tagged:
        world.apply(c.JobTag(time_ns=START, namespace="default", job_id="web", version=0, name="good"))
    world.apply(c.JobDeregister(time_ns=START, namespace="default", job_id="web"))
    node = next(world.state.nodes())
    world.apply(
        c.PlanApply(time_ns=START, eval_id="", namespace="default", job_id="web", job_version=1,
                    stops=(stop(id_, node, desired_status=DesiredStatus.STOP),))
    )  # fmt: skip
    update = c.ClientUpdate(alloc_id=id_, client_status=ClientStatus.COMPLETE)
    world.apply(c.AllocClientUpdate(time_ns=START, node_id=node.id, updates=(update,)))
    collect(world, 3.9)
    assert world.state.job("default", "web") is not None
    collect(world, 4.1)
    assert (world.state.job("default", "web") is not None) is tagged


@pytest.mark.parametrize("stopped", [False, True])
def test_gc4_a_periodic_parent_goes_only_when_it_is_stopped(stopped: bool) -> None:
    world = World()
    periodic = PeriodicConfig(specs=("@daily",))
    world.job("cron", type=JobType.BATCH, periodic=periodic, submit_time_ns=START)
    if stopped:
        world.apply(c.JobDeregister(time_ns=START, namespace="default", job_id="cron"))
    collect(world, 1000)
    assert (world.state.job("default", "cron") is None) is stopped


def test_vr1_an_unchanged_job_keeps_its_version_and_is_evaluated_again() -> None:
    world = World()
    job = world.job("web")
    again = done(7, "web")
    changes = world.apply(c.JobRegister(time_ns=2, job=job, evaluation=again))
    stored = world.state.job("default", "web")
    assert stored is not None and stored.version == 0
    assert not changes.result.changed  # type: ignore[union-attr]
    assert world.state.eval(again.id) is not None


def test_a_job_of_which_everything_runs_is_passed_over_without_making_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    ended(world, ClientStatus.RUNNING, ClientStatus.RUNNING)
    made: list[str] = []
    right = world.state.allocs_by_job

    def watched(namespace: str, job_id: str) -> object:
        made.append(job_id)
        return right(namespace, job_id)

    monkeypatch.setattr(world.state, "allocs_by_job", watched)
    collect(world, 24)
    assert not made and len(list(world.state.evals())) == 1 and world.state.alloc_count == 2


def test_others_have_their_turn_while_much_is_looked_at() -> None:
    world = World()
    for n in range(1200):
        world.apply(c.EvalsUpsert(time_ns=START, evaluations=(done(n + 100, f"job-{n}"),)))
    steps = list(collectable(world.state, START + 2 * HOUR, Ages()))
    assert steps.count(None) == 2
    assert sum(len(step.evals) for step in steps if step is not None) == 1200
