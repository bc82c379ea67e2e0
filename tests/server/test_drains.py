"""Drains: the pure rules on a state, and the whole way on a server role in memory."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.alloc import Allocation, AllocHealth, DesiredTransition
from daemon.model.base import NS_PER_S
from daemon.model.enums import ClientStatus, DesiredStatus, Eligibility, JobType, NodeStatus
from daemon.model.errors import Conflict, EncampError
from daemon.model.node import DrainStrategy, Node
from daemon.model.policies import MigrateStrategy, UpdateStrategy
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.server.drains import END, MOVE, Step, step, to_move
from daemon.state import commands as c
from tests.server.serverkit import Kit, make_job
from tests.state.state_factory import World, alloc, job

HEALTHY = AllocHealth(healthy=True)
NOW = 1_000 * NS_PER_S


class Drained(World):
    """A state with nodes that drain, and allocations placed by hand."""

    placed = 0

    def drain(self, node: Node, deadline_s: int = 3600, **how: Any) -> Node:
        drain = DrainStrategy(deadline_ns=deadline_s * NS_PER_S, **how)
        assert self.apply(c.NodeDrain(time_ns=NOW, node_id=node.id, drain=drain)).result is None
        found = self.state.node(node.id)
        assert found is not None
        return found

    def service(self, max_parallel: int = 1, count: int = 10, **facts: Any) -> Any:
        made = job(facts.pop("job_id", "web"), count=count, **facts)
        group = msgspec.structs.replace(
            made.task_groups[0], migrate=MigrateStrategy(max_parallel=max_parallel)
        )
        self.apply(c.JobRegister(time_ns=1, job=msgspec.structs.replace(made, task_groups=(group,))))
        stored = self.state.job("default", made.id)
        assert stored is not None
        return stored

    def place(self, of: Any, on: Node, **facts: Any) -> Allocation:
        facts.setdefault("client_status", ClientStatus.RUNNING)
        self.placed += 1
        made = alloc(self.placed, on, of, **facts)
        self.apply(
            c.PlanApply(time_ns=2, eval_id="", namespace="default", job_id=of.id, job_version=of.version,
                        allocs=(made,), node_epochs={on.id: on.epoch})
        )  # fmt: skip
        stored = self.state.alloc(made.id)
        assert stored is not None
        return stored

    def step(self, after_s: float = 0) -> Step:
        return step(self.state, self.state.nodes(), NOW + int(after_s * NS_PER_S))

    def report(self, one: Allocation, status: ClientStatus, healthy: bool | None = None) -> None:
        health = AllocHealth(healthy=healthy) if healthy is not None else None
        update = c.ClientUpdate(alloc_id=one.id, client_status=status, health=health)
        self.apply(c.AllocClientUpdate(time_ns=3, node_id=one.node_id, updates=(update,)))


@pytest.mark.parametrize("max_parallel", [1, 2, 10])
def test_dr1_as_many_are_marked_as_max_parallel_allows(max_parallel: int) -> None:
    world = Drained()
    node, web = world.node(1), world.service(max_parallel)
    for _ in range(10):
        world.place(web, node, deployment_status=HEALTHY)
    world.drain(node)
    found = world.step()
    assert len(found.marks) == max_parallel and set(found.marks.values()) == {MOVE}
    assert list(found.jobs) == [("default", "web")] and not found.done


@pytest.mark.parametrize(
    ("unset", "failed", "marked"), [(0, 0, 4), (1, 0, 3), (3, 0, 1), (4, 0, 0), (0, 2, 4), (2, 2, 2)]
)
def test_dr2_replacements_of_unknown_health_hold_the_rest_back(unset: int, failed: int, marked: int) -> None:
    world = Drained()
    node, other, web = world.node(1), world.node(2), world.service(4)
    for _ in range(10 - unset - failed):
        world.place(web, node, deployment_status=HEALTHY)
    for _ in range(unset):
        world.place(web, other)
    for _ in range(failed):
        world.place(web, other, deployment_status=AllocHealth(healthy=False))
    world.drain(node)
    assert len(world.step().marks) == marked


@given(
    count=st.integers(1, 12), max_parallel=st.integers(0, 12),
    rows=st.lists(st.tuples(st.booleans(), st.sampled_from([True, False, None]), st.booleans()), max_size=14),
)  # fmt: skip
def test_no_step_takes_a_group_below_count_less_max_parallel(
    count: int, max_parallel: int, rows: list[tuple[bool, bool | None, bool]]
) -> None:
    made = job("web", count=count)
    group = msgspec.structs.replace(made.task_groups[0], migrate=MigrateStrategy(max_parallel=max_parallel))
    node = Node(id="n")
    allocs = [
        alloc(number, node, made, client_status=ClientStatus.RUNNING, deployment_status=AllocHealth(healthy=healthy),
              desired_transition=MOVE if marked else DesiredTransition())
        for number, (_, healthy, marked) in enumerate(rows)
    ]  # fmt: skip
    drainable = [a for a, (here, _, marked) in zip(allocs, rows, strict=True) if here and not marked]
    moved = {a.id for a in to_move(made, group, allocs, drainable)}
    counted = {
        a.id
        for a, (_, healthy, marked) in zip(allocs, rows, strict=True)
        if healthy is not None and not marked
    }
    assert moved <= {a.id for a in drainable}
    assert not moved or len(counted) - len(moved) >= count - max_parallel
    assert len(moved) == max(0, min(len(drainable), len(counted) - (count - max_parallel)))


def test_pace_counts_over_all_draining_nodes_of_a_job() -> None:
    world = Drained()
    one, two, web = world.node(1), world.node(2), world.service(3)
    for at in range(10):
        world.place(web, (one, two)[at % 2], deployment_status=HEALTHY)
    world.drain(one)
    world.drain(two)
    assert len(world.step().marks) == 3


def test_what_is_marked_is_not_marked_again_and_counts_as_gone() -> None:
    world = Drained()
    node, web = world.node(1), world.service(2)
    for _ in range(10):
        world.place(web, node, deployment_status=HEALTHY)
    world.drain(node)
    world.apply(c.AllocTransition(time_ns=NOW, transitions=world.step().marks))
    assert world.step().marks == {}


def test_the_forced_deadline_moves_all_and_ends_the_drain_and_near_deadlines_go_with_it() -> None:
    world = Drained()
    near, nearer, later = (world.node(number) for number in (1, 2, 3))
    web = world.service(1)
    placed = [
        world.place(web, node, deployment_status=HEALTHY) for node in (near, nearer, later) for _ in "ab"
    ]
    world.drain(nearer, 60)
    world.drain(near, 64)
    world.drain(later, 70)
    before = world.step(59.9)
    assert len(before.marks) == 0 and before.next_ns == NOW + 60 * NS_PER_S and not before.done
    found = world.step(60)
    assert set(found.marks) >= {a.id for a in placed if a.node_id in (near.id, nearer.id)}
    assert set(found.done) == {near.id, nearer.id}


def test_force_does_not_wait_and_no_deadline_waits_for_ever() -> None:
    world = Drained()
    node, web = world.node(1), world.service(1, count=2)
    for _ in range(2):
        world.place(web, node)
    world.drain(node, 0)
    assert world.step(10**9).marks == {}
    assert world.step(10**9).next_ns == 0
    world.drain(node, -1)
    assert len(world.step().marks) == 2 and node.id in world.step().done


def test_batch_work_may_finish_until_the_deadline_and_is_then_ended_for_good() -> None:
    world = Drained()
    node, work = world.node(1), world.job("work", type=JobType.BATCH, count=1)
    one = world.place(work, node, deployment_status=HEALTHY)
    world.drain(node, 60)
    assert world.step(59).marks == {}
    assert world.step(60).marks == {one.id: END}
    world.report(one, ClientStatus.COMPLETE)
    assert world.step().done == {node.id: NOW}


@pytest.mark.parametrize("ignored", [False, True])
def test_sy5_system_work_goes_last_and_stays_when_it_is_ignored(ignored: bool) -> None:
    world = Drained()
    node = world.node(1)
    own = world.place(world.job("agentd", type=JobType.SYSTEM), node)
    work = world.place(world.job("work", type=JobType.BATCH), node)
    world.drain(node, ignore_system_jobs=ignored)
    assert world.step().marks == {} and world.step().done == {}
    world.report(work, ClientStatus.COMPLETE)
    found = world.step()
    assert found.marks == ({} if ignored else {own.id: MOVE})
    assert set(found.done) == {node.id}


def test_an_empty_node_is_done_at_once() -> None:
    world = Drained()
    node = world.node(1)
    world.drain(node)
    assert set(world.step().done) == {node.id}


def test_a_node_that_goes_down_while_it_drains_stays_tracked() -> None:
    world = Drained()
    node = world.node(1)
    one = world.place(world.service(1, count=1), node, deployment_status=HEALTHY)
    world.drain(node)
    world.apply(c.NodeStatusUpdate(time_ns=NOW, node_ids=(node.id,), status=NodeStatus.DOWN))
    assert world.step().done == {}
    stop = c.AllocStop(alloc_id=one.id, node_id=node.id, client_status=ClientStatus.LOST)
    world.apply(
        c.PlanApply(time_ns=NOW, eval_id="", namespace="default", job_id="web", job_version=0, stops=(stop,))
    )
    assert set(world.step().done) == {node.id}


def test_work_whose_health_nobody_judges_counts_while_it_runs() -> None:
    world = Drained()
    node = world.node(1)
    made = job("web", count=2)
    group = msgspec.structs.replace(made.task_groups[0], update=UpdateStrategy(health_check="manual"))
    world.apply(c.JobRegister(time_ns=1, job=msgspec.structs.replace(made, task_groups=(group,))))
    web = world.state.job("default", "web")
    placed = [
        world.place(web, node, client_status=status)
        for status in (ClientStatus.RUNNING, ClientStatus.PENDING)
    ]
    world.drain(node)
    assert world.step().marks == {}
    world.report(placed[1], ClientStatus.RUNNING)
    assert len(world.step().marks) == 1


# ---- apply ----


def test_dr4_a_completed_drain_leaves_the_node_ineligible_until_it_is_made_eligible() -> None:
    world = Drained()
    node = world.drain(world.node(1))
    assert node.scheduling_eligibility == Eligibility.INELIGIBLE and not node.ready
    assert node.last_drain is not None and node.last_drain.status == "draining"
    eligible = c.NodeEligibility(time_ns=NOW, node_id=node.id, eligibility=Eligibility.ELIGIBLE)
    assert isinstance(world.apply(eligible).result, Conflict)
    world.apply(c.DrainsComplete(time_ns=NOW + 5, drains={node.id: NOW}))
    after = world.state.node(node.id)
    assert after is not None and after.drain_strategy is None and not after.ready
    assert after.last_drain is not None
    assert (after.last_drain.status, after.last_drain.updated_at_ns) == ("complete", NOW + 5)
    assert world.apply(eligible).result is None
    again = world.state.node(node.id)
    assert again is not None and again.ready


def test_an_update_counts_the_deadline_anew_and_keeps_the_start() -> None:
    world = Drained()
    node = world.drain(world.node(1), 60)
    drain = DrainStrategy(deadline_ns=30 * NS_PER_S)
    world.apply(c.NodeDrain(time_ns=NOW + 20 * NS_PER_S, node_id=node.id, drain=drain, meta={"by": "me"}))
    after = world.state.node(node.id)
    assert after is not None and after.drain_strategy is not None and after.last_drain is not None
    assert after.drain_strategy.started_at_ns == NOW
    assert after.drain_strategy.force_deadline_ns == NOW + 50 * NS_PER_S
    assert after.last_drain.meta == {"by": "me"}


@pytest.mark.parametrize("eligible", [False, True])
def test_a_canceled_drain_leaves_the_node_ineligible_unless_told_otherwise(eligible: bool) -> None:
    world = Drained()
    node = world.drain(world.node(1))
    world.apply(c.NodeDrain(time_ns=NOW, node_id=node.id, mark_eligible=eligible))
    after = world.state.node(node.id)
    assert after is not None and after.last_drain is not None
    assert after.drain_strategy is None and after.ready is eligible and after.last_drain.status == "canceled"
    assert isinstance(world.apply(c.NodeDrain(time_ns=NOW, node_id=node.id)).result, Conflict)


def test_a_late_completion_does_not_end_another_drain() -> None:
    world = Drained()
    node = world.drain(world.node(1))
    changes = world.apply(c.DrainsComplete(time_ns=NOW, drains={node.id: NOW - 1, "gone": NOW}))
    assert set(changes.dropped) == {node.id, "gone"}
    assert world.state.node(node.id) == node


def test_a_draining_node_that_registers_again_goes_on_draining() -> None:
    world = Drained()
    node = world.drain(world.node(1))
    again = world.node(1, http_addr="10.0.0.9:1")
    assert (again.drain_strategy, again.last_drain) == (node.drain_strategy, node.last_drain)


# ---- a whole server ----


async def drain(kit: Kit, node: Node, deadline_s: float = 3600, **how: Any) -> m.NodeDrainResponse:
    spec = m.DrainSpec(deadline_ns=int(deadline_s * NS_PER_S), **how)
    return await kit.call(methods.NODE_DRAIN, m.NodeDrainRequest(node_id=node.id, drain_spec=spec))


def stored(kit: Kit, node: Node) -> Node:
    found = kit.server.context.state.node(node.id)
    assert found is not None
    return found


async def follow_orders(kit: Kit) -> bool:
    """What nodes do: start what is pending as healthy, end what shall stop. True while there was something."""
    busy = False
    for one in list(kit.server.context.state.allocs()):
        node = kit.nodes[one.node_id]
        if one.server_terminal and not one.client_terminal:
            await kit.report(node, one, ClientStatus.COMPLETE)
            busy = True
        elif not one.terminal and one.client_status == ClientStatus.PENDING:
            await kit.report(node, one, ClientStatus.RUNNING, healthy=True)
            busy = True
    return busy


async def test_a_drain_moves_a_service_step_by_step_and_never_below_what_migrate_allows(kit: Kit) -> None:
    first, second, third = await kit.node("n1"), await kit.node("n2"), await kit.node("n3")
    migrate = MigrateStrategy(max_parallel=2)
    evaluation = await kit.run_and_settle(make_job("web", count=6, group={"migrate": migrate}))
    assert not evaluation.failed_tg_allocs
    await follow_orders(kit)
    await drain(kit, first)
    await drain(kit, second)
    lowest = 6
    while any(stored(kit, node).drain_strategy is not None for node in (first, second)):
        seen = kit.server.context.index_signal.value
        healthy = [
            one for one in kit.live("web")
            if one.client_status == ClientStatus.RUNNING and not one.server_terminal
        ]  # fmt: skip
        lowest = min(lowest, len(healthy))
        if not await follow_orders(kit):
            assert await kit.server.context.index_signal.wait_past(seen, 10), "the drain stands still"
    assert lowest >= 4
    assert {one.node_id for one in kit.live("web")} == {third.id} and len(kit.live("web")) == 6
    last = stored(kit, first).last_drain
    assert last is not None and last.status == "complete"
    assert stored(kit, first).scheduling_eligibility == Eligibility.INELIGIBLE
    with pytest.raises(EncampError, match="draining"):
        await drain(kit, third)
        await kit.call(
            methods.NODE_ELIGIBILITY, m.NodeEligibilityRequest(node_id=third.id, eligibility="eligible")
        )


async def test_rf16_batch_work_that_a_drain_forces_out_is_not_run_again(kit: Kit) -> None:
    first = await kit.node("n1")
    await kit.run_and_settle(make_job("work", type=JobType.BATCH, count=2))
    await kit.node("n2")
    await follow_orders(kit)
    await drain(kit, first, -1)
    await kit.until("the drain to end", lambda: stored(kit, first).drain_strategy is None)
    await kit.until(
        "both to be stopped", lambda: all(a.desired_status == DesiredStatus.STOP for a in kit.allocs("work"))
    )
    await follow_orders(kit)
    ended = {one.id for one in kit.allocs("work")}
    assert len(ended) == 2
    await kit.call(
        methods.NODE_ELIGIBILITY, m.NodeEligibilityRequest(node_id=first.id, eligibility="eligible")
    )
    answer = await kit.call(methods.JOB_EVALUATE, m.JobEvaluateRequest(id="work"))
    await kit.settled(answer.eval_id)
    assert {one.id for one in kit.allocs("work")} == ended


async def test_a_drain_that_is_ended_leaves_what_was_not_moved(kit: Kit) -> None:
    node = await kit.node("n1")
    await kit.run_and_settle(make_job("web", count=2))
    await follow_orders(kit)
    with pytest.raises(EncampError, match="cannot be made eligible"):
        spec = m.DrainSpec()
        await kit.call(
            methods.NODE_DRAIN, m.NodeDrainRequest(node_id=node.id, drain_spec=spec, mark_eligible=True)
        )
    await drain(kit, node, ignore_system_jobs=True)
    await kit.call(methods.NODE_DRAIN, m.NodeDrainRequest(node_id=node.id, mark_eligible=True))
    await kit.until("two that run", lambda: len(kit.live("web")) == 2)
    assert stored(kit, node).ready
