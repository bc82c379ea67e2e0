"""Attempts of one evaluation: a service with a scripted pool in place of processes, and a log that applies at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest

from daemon.evaluation.messages import Result
from daemon.evaluation.service import EvaluationService
from daemon.model.enums import EvalStatus, JobType, NodeStatus, Trigger
from daemon.model.evaluation import Evaluation
from daemon.model.plan import Attempt, EvalInput
from daemon.scheduler.schedule import schedule
from daemon.state import commands as c
from daemon.state.changes import Changes
from daemon.state.fleet import Fleet
from daemon.state.state import State
from tests.scheduler.fleetkit import NOW, make_eval, make_group, make_job, make_node

Answer = Callable[[EvalInput, int], Attempt]


class ScriptedPool:
    """One worker that answers with what the script makes of an input and the number of its attempt."""

    size = 1

    def __init__(self, service: EvaluationService, answer: Answer) -> None:
        self.service = service
        self.answer = answer
        self.inputs: list[EvalInput] = []
        self.replaced = 0

    def free_worker(self) -> object:
        return self

    def send(self, worker: object, items: Sequence[EvalInput], *, dry_run: bool = False) -> None:
        for item in items:
            self.inputs.append(item)
            attempt = self.answer(item, len(self.inputs))
            result = Result(eval_id=item.evaluation.id, attempt=attempt)
            asyncio.get_running_loop().call_soon(self.service._on_result, result)

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to stop."""


class World:
    """State, service and log in one."""

    def __init__(self) -> None:
        self.state = State()
        self.ids = iter(f"00000000-0000-4000-8000-{n:012x}" for n in range(1000))
        self.service = EvaluationService(
            self.state, self.propose, workers=1, now_ns=lambda: NOW, seed=lambda: 7, new_id=self.ids.__next__
        )

    def propose(self, command: c.AnyCommand) -> asyncio.Future[Changes]:
        future: asyncio.Future[Changes] = asyncio.get_running_loop().create_future()
        changes = self.state.apply(self.state.index + 1, command)
        self.service.observe(changes)
        future.set_result(changes)
        return future

    def node(self, name: str, **facts: Any) -> None:
        node = make_node(name, **facts)
        self.propose(c.NodeRegister(time_ns=NOW, node=node))
        self.propose(c.NodeStatusUpdate(time_ns=NOW, node_ids=(node.id,), status=NodeStatus.READY))

    def fleet(self) -> Fleet:
        """What a worker that is told everything would see."""
        fleet = Fleet()
        fleet.apply(self.service.tracker.delta_since(0))
        return fleet

    async def run(self, answer: Answer, **job: Any) -> tuple[ScriptedPool, list[Evaluation]]:
        """Register a job and follow it until nothing is under way."""
        pool = self.service.pool = ScriptedPool(self.service, answer)  # type: ignore[assignment]
        await self.service.start()
        registered = make_job(**job)
        evaluation = make_eval(registered)
        self.propose(c.JobRegister(time_ns=NOW, job=registered, evaluation=evaluation))
        async with asyncio.timeout(10):
            while any(e.status == EvalStatus.PENDING for e in self.state.evals()):
                await asyncio.sleep(0)
        return pool, self.state.evals_by_job("default", registered.id)  # type: ignore[return-value]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.service.close()


def stale(item: EvalInput, fleet: Fleet) -> Attempt:
    """A plan for nodes as they were: its epochs hold no more."""
    attempt = schedule(item, fleet)
    blocks = tuple(
        msgspec.structs.replace(block, node_epochs=tuple(epoch - 1 for epoch in block.node_epochs))
        for block in attempt.plan.blocks
    )
    return msgspec.structs.replace(attempt, plan=msgspec.structs.replace(attempt.plan, blocks=blocks))


async def test_pa10_a_refused_plan_is_tried_again_on_a_state_as_new_as_the_refusal(world: World) -> None:
    world.node("a")
    seen: list[int] = []

    def answer(item: EvalInput, number: int) -> Attempt:
        if number == 1:
            seen.append(world.service.tracker.index)
            return stale(item, world.fleet())
        return schedule(item, world.fleet())

    pool, [evaluation] = await world.run(answer)
    assert [item.attempt for item in pool.inputs] == [1, 2]
    assert pool.inputs[1].index >= seen[0] > 0
    assert evaluation.placed and world.state.alloc_count == 1 and world.service.commits.conflicts == 1


@pytest.mark.parametrize(("kind", "attempts"), [(JobType.SERVICE, 5), (JobType.BATCH, 2)])
async def test_pa11_without_progress_it_fails_and_a_blocked_one_tries_again_later(
    world: World, kind: JobType, attempts: int
) -> None:
    world.node("a")
    pool, evaluations = await world.run(lambda item, _: stale(item, world.fleet()), type=kind)
    assert len(pool.inputs) == attempts
    [failed] = [e for e in evaluations if e.status == EvalStatus.FAILED]
    [blocked] = [e for e in evaluations if e.status == EvalStatus.BLOCKED]
    assert failed.blocked_eval == blocked.id and blocked.triggered_by == Trigger.MAX_PLAN_ATTEMPTS
    assert f"{attempts} attempts" in failed.status_description


async def test_pa12_attempts_that_bring_something_do_not_count(world: World) -> None:
    for name in "abcdefgh":
        world.node(name, cpu=1000)

    def answer(item: EvalInput, number: int) -> Attempt:
        """All nodes but one are out of date."""
        attempt = schedule(item, world.fleet())
        blocks = tuple(
            msgspec.structs.replace(
                block, node_epochs=tuple(e - (1 if i else 0) for i, e in enumerate(block.node_epochs))
            )
            for block in attempt.plan.blocks
        )
        return msgspec.structs.replace(attempt, plan=msgspec.structs.replace(attempt.plan, blocks=blocks))

    pool, [evaluation] = await world.run(answer, task_groups=(make_group(count=8, cpu=900),))
    assert len(pool.inputs) == 8 and evaluation.placed and world.state.alloc_count == 8
