"""State: unknown work, its return, the evaluations that wait for it, and what a node's status then is."""

from __future__ import annotations

import pytest

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, EvalStatus, NodeStatus, Trigger
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.node import Node
from daemon.model.plan import AllocMark
from daemon.model.policies import DisconnectStrategy
from daemon.node.client_stop import must_stop
from daemon.server.liveness import status_of_returning, status_of_silent
from daemon.state.commands import AllocClientUpdate, ClientUpdate, EvalsUpsert, NodeStatusUpdate
from tests.state.state_factory import World, alloc, evaluation, plan, uid

SECOND = 1_000_000_000
WAIT = 60 * SECOND


def group(**facts: int) -> TaskGroup:
    disconnect = DisconnectStrategy(**facts) if facts else None
    return TaskGroup(
        name="g", count=2, tasks=(Task(name="web", driver="mock_driver"),), disconnect=disconnect
    )


def running(world: World, count: int = 1, **facts: int) -> tuple[Node, Job]:
    on = world.node(1)
    of = world.job(task_groups=(group(**facts),))
    allocs = tuple(alloc(n, on, of) for n in range(count))
    world.apply(plan(of, allocs=allocs, on=(on,)))
    for n in range(count):
        report(world, on, n)
    return on, of


def report(world: World, on: Node, number: int, status: ClientStatus = ClientStatus.RUNNING) -> None:
    update = ClientUpdate(alloc_id=uid(number, 3), client_status=status)
    world.apply(AllocClientUpdate(time_ns=world.state.time_ns + 1, node_id=on.id, updates=(update,)))


def set_status(world: World, on: Node, status: NodeStatus) -> Node:
    world.apply(NodeStatusUpdate(time_ns=world.state.time_ns + 1, node_ids=(on.id,), status=status))
    stored = world.state.node(on.id)
    assert stored is not None
    return stored


def lose_sight(world: World, on: Node, of: Job, count: int = 1) -> None:
    set_status(world, on, NodeStatus.DISCONNECTED)
    waiting = evaluation(5, triggered_by=Trigger.MAX_DISCONNECT_TIMEOUT, wait_until_ns=WAIT)
    world.apply(EvalsUpsert(time_ns=world.state.time_ns + 1, evaluations=(waiting,)))
    marks = tuple(
        AllocMark(alloc_id=uid(n, 3), unknown=True, followup_eval_id=waiting.id) for n in range(count)
    )
    world.apply(plan(of, marks=marks))


def stored(world: World, number: int = 0) -> Allocation:
    row = world.state.alloc(uid(number, 3))
    assert row is not None
    return row


def test_a_mark_makes_it_unknown_only_while_its_node_is_out_of_sight() -> None:
    world = World()
    on, of = running(world, lost_after_ns=WAIT)
    changes = world.apply(plan(of, marks=(AllocMark(alloc_id=uid(0, 3), unknown=True),)))
    assert uid(0, 3) in changes.dropped and stored(world).client_status == ClientStatus.RUNNING
    lose_sight(world, on, of)
    assert stored(world).client_status == ClientStatus.UNKNOWN and stored(world).away_since_ns > 0


def test_a_return_cancels_the_waiting_evaluation_unless_another_waits_with_it() -> None:
    world = World()
    on, of = running(world, 2, lost_after_ns=WAIT)
    lose_sight(world, on, of, 2)
    set_status(world, on, NodeStatus.INITIALIZING)
    report(world, on, 0)
    waiting = world.state.eval(uid(5, 2))
    assert waiting is not None and waiting.status == EvalStatus.PENDING
    assert not stored(world, 0).followup_eval_id
    report(world, on, 1)
    waiting = world.state.eval(uid(5, 2))
    assert waiting is not None and waiting.status == EvalStatus.CANCELED
    assert stored(world).away_since_ns > 0, "the scheduler has still to settle it"
    world.apply(plan(of, marks=(AllocMark(alloc_id=uid(0, 3), reconnected=True),)))
    assert stored(world).away_since_ns == 0


def test_nd3_a_returning_node_is_ready_only_after_it_has_spoken() -> None:
    world = World()
    on, of = running(world, lost_after_ns=WAIT)
    lose_sight(world, on, of)
    node = world.state.node(on.id)
    assert node is not None
    assert status_of_returning(node, world.state.allocs_by_node(on.id)) == NodeStatus.INITIALIZING
    node = set_status(world, on, NodeStatus.INITIALIZING)
    assert status_of_returning(node, world.state.allocs_by_node(on.id)) == NodeStatus.INITIALIZING
    report(world, on, 0)
    assert status_of_returning(node, world.state.allocs_by_node(on.id)) == NodeStatus.READY
    node = set_status(world, on, NodeStatus.DOWN)
    assert status_of_returning(node, ()) == NodeStatus.READY


@pytest.mark.parametrize(
    ("lost_after_ns", "later_ns", "status"),
    [(WAIT, 1, "disconnected"), (WAIT, WAIT + 100, "down"), (0, 1, "down")],
)
def test_silence_is_disconnection_only_while_something_is_waited_for(
    lost_after_ns: int, later_ns: int, status: str
) -> None:
    world = World()
    on, of = running(world, **({"lost_after_ns": lost_after_ns} if lost_after_ns else {}))
    node = world.state.node(on.id)
    assert node is not None
    now = world.state.time_ns + later_ns
    assert status_of_silent(world.state, node, now) == ("disconnected" if lost_after_ns else "down")
    if lost_after_ns:
        lose_sight(world, on, of)
        node = world.state.node(on.id)
        assert node is not None
        assert status_of_silent(world.state, node, world.state.time_ns + later_ns) == status
    node = set_status(world, on, NodeStatus.INITIALIZING)
    assert status_of_silent(world.state, node, now) == NodeStatus.DOWN


@pytest.mark.parametrize(("silent_s", "stops"), [(9.9, False), (10.0, True)])
def test_a_group_ends_itself_after_its_time(silent_s: float, stops: bool) -> None:
    assert must_stop(group(stop_on_client_after_ns=10 * SECOND), silent_s) is stops
    assert not must_stop(group(lost_after_ns=WAIT), 1e9) and not must_stop(group(), 1e9)
    assert not must_stop(None, 1e9)
