"""Nodes, reports of nodes, transitions, evaluations, collection, the cluster's name."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from daemon.model.alloc import AllocHealth, DesiredTransition
from daemon.model.enums import ClientStatus, DesiredStatus, Eligibility, EvalStatus, JobStatus, NodeStatus
from daemon.model.errors import Conflict, InvariantBroken, NotFound
from daemon.model.metrics import AllocMetric
from daemon.model.node import DrainStrategy, DriverInfo, NodeEvent, NodeResources
from daemon.model.tasks import TaskState, TaskStateName
from daemon.state.commands import (
    AllocClientUpdate,
    AllocTransition,
    ClientUpdate,
    ClusterInit,
    Collect,
    EvalsUpsert,
    JobDeregister,
    NodeEligibility,
    NodeRegister,
    NodeStatusUpdate,
    Noop,
)
from daemon.state.node_class import computed_class
from tests.state.state_factory import World, alloc, block, done, evaluation, node, plan, stop, uid


@pytest.fixture
def world():
    return World()


def test_a_node_may_not_overwrite_what_servers_decide(world):
    first = world.node(1)
    world.apply(NodeEligibility(time_ns=2, node_id=first.id, eligibility=Eligibility.INELIGIBLE))
    world.apply(NodeStatusUpdate(time_ns=3, node_ids=(first.id,), status=NodeStatus.DOWN))
    again = world.node(1, drain_strategy=DrainStrategy(), http_addr="1.2.3.4:1")
    assert (again.status, again.scheduling_eligibility, again.drain_strategy, again.http_addr) == (
        NodeStatus.DOWN,
        Eligibility.INELIGIBLE,
        None,
        "1.2.3.4:1",
    )


@pytest.mark.parametrize(
    ("facts", "moves"),
    [
        ({}, False),
        ({"http_addr": "1.2.3.4:5"}, False),
        ({"drivers": {"exec": DriverInfo(detected=True, update_time_ns=9)}}, True),
        ({"attributes": {"os.name": "x"}}, True),
        ({"node_resources": NodeResources(cpu_shares=7)}, True),
        ({"meta": {"rack": "1"}}, True),
    ],
)
def test_epochs_move_with_the_shape(world, facts, moves):
    before = world.node(1)
    after = world.node(1, **facts)
    assert (after.epoch > before.epoch) is moves
    assert (after.modify_index > before.modify_index) is bool(facts)


def test_driver_health_counts_but_not_its_time(world):
    before = world.node(1, drivers={"exec": DriverInfo(detected=True, healthy=True, update_time_ns=1)})
    same = world.node(1, drivers={"exec": DriverInfo(detected=True, healthy=True, update_time_ns=2)})
    ill = world.node(1, drivers={"exec": DriverInfo(detected=True, healthy=False, update_time_ns=3)})
    assert before.epoch == same.epoch < ill.epoch


def test_status_changes_keep_ten_events(world):
    first = world.node(1)
    for turn in range(12):
        status = NodeStatus.DOWN if turn % 2 else NodeStatus.READY
        event = NodeEvent(message=str(turn), subsystem="Cluster", timestamp_ns=turn)
        changes = world.apply(
            NodeStatusUpdate(time_ns=turn, node_ids=(first.id, "nobody"), status=status, event=event)
        )
    stored = world.state.node(first.id)
    assert [e.message for e in stored.events] == [str(n) for n in range(2, 12)]
    assert changes.dropped == {"nobody": "there is no such node"}
    assert stored.epoch == changes.index


def test_eligibility(world):
    assert isinstance(
        world.apply(NodeEligibility(time_ns=1, node_id="x", eligibility=Eligibility.ELIGIBLE)).result,
        NotFound,
    )
    draining = node(1, drain_strategy=DrainStrategy(), scheduling_eligibility=Eligibility.INELIGIBLE)
    world.apply(NodeRegister(time_ns=1, node=draining))
    refused = world.apply(NodeEligibility(time_ns=2, node_id=draining.id, eligibility=Eligibility.ELIGIBLE))
    assert isinstance(refused.result, Conflict)


def test_computed_class_ignores_the_unique_and_the_sizes():
    one = node(1, attributes={"os": "a", "unique.host": "1"})
    other = node(2, attributes={"unique.host": "2", "os": "a"}, node_resources=NodeResources(cpu_shares=5))
    assert computed_class(one) == computed_class(other)
    assert computed_class(one) != computed_class(replace(one, meta={"rack": "1"}))
    assert computed_class(one) != computed_class(replace(one, datacenter="dc2"))


def placed(world, count=1):
    on, of = world.node(1), world.job()
    world.apply(plan(of, blocks=(block(list(range(count)), [on], of),)))
    return on, of


def report(world, on, status, number=0, **facts):
    update = ClientUpdate(alloc_id=uid(number, 3), client_status=status, **facts)
    return world.apply(AllocClientUpdate(time_ns=20, node_id=on.id, updates=(update,)))


def test_a_report_changes_only_the_nodes_part(world):
    on, _ = placed(world, 2)
    before = world.state.alloc(uid(0, 3))
    states = {"web": TaskState(state=TaskStateName.RUNNING, started_at_ns=3)}
    health = AllocHealth(healthy=True, canary=True)
    changes = report(
        world, on, ClientStatus.RUNNING, task_states=states, health=health, client_description="ok"
    )
    after = world.state.alloc(uid(0, 3))
    assert changes.allocs == [(before, after)]
    assert after == replace(
        before,
        client_status=ClientStatus.RUNNING,
        client_description="ok",
        task_states=states,
        deployment_status=AllocHealth(healthy=True, timestamp_ns=20, modify_index=changes.index),
        modify_index=changes.index,
        modify_time_ns=20,
    )
    assert world.state.node_alloc_versions(on.id)[after.id] == before.alloc_modify_index
    group = world.state.summary("default", "web").summary["g"]
    assert (group.starting, group.running) == (1, 1)


@pytest.mark.parametrize(
    ("before", "after", "stored"),
    [
        ("pending", "running", "running"),
        ("running", "pending", "pending"),
        ("running", "failed", "failed"),
        ("complete", "running", "complete"),
        ("failed", "complete", "failed"),
        ("pending", "lost", "pending"),
        ("pending", "unknown", "pending"),
    ],
)
def test_reports_go_forward_only(world, before, after, stored):
    on, _ = placed(world)
    report(world, on, ClientStatus(before))
    changes = report(world, on, ClientStatus(after))
    assert world.state.alloc(uid(0, 3)).client_status == stored
    assert bool(changes.dropped) is (after != stored)


def test_what_is_lost_stays_lost_but_keeps_its_story(world):
    on, of = placed(world)
    world.apply(plan(of, stops=(stop(uid(0, 3), on, client_status=ClientStatus.LOST),)))
    states = {"web": TaskState(state=TaskStateName.DEAD)}
    report(world, on, ClientStatus.COMPLETE, task_states=states)
    row = world.state.alloc(uid(0, 3))
    assert (row.client_status, row.task_states) == (ClientStatus.LOST, states)


def test_foreign_unknown_and_late_reports_are_dropped(world):
    on, _ = placed(world)
    other = world.node(2)
    assert "belongs" in report(world, other, ClientStatus.RUNNING).dropped[uid(0, 3)]
    assert report(world, on, ClientStatus.RUNNING, number=9).dropped.keys() == {uid(9, 3)}
    world.apply(NodeStatusUpdate(time_ns=3, node_ids=(on.id,), status=NodeStatus.DOWN))
    late = AllocClientUpdate(
        time_ns=9,
        node_id=on.id,
        updates=(ClientUpdate(alloc_id=uid(0, 3), client_status=ClientStatus.FAILED),),
        evaluations=(evaluation(7),),
    )
    changes = world.apply(late)
    assert changes.dropped and changes.empty
    assert world.state.eval(uid(7, 2)) is None
    assert world.state.alloc(uid(0, 3)).client_status == ClientStatus.PENDING


def test_transitions_add_up(world):
    placed(world)
    for asked in (DesiredTransition(migrate=True), DesiredTransition(no_shutdown_delay=True)):
        changes = world.apply(
            AllocTransition(
                time_ns=4, transitions={uid(0, 3): asked, "x": asked}, evaluations=(evaluation(3),)
            )
        )
    assert changes.dropped.keys() == {"x"}
    assert world.state.alloc(uid(0, 3)).desired_transition == DesiredTransition(
        migrate=True, no_shutdown_delay=True
    )
    assert world.state.eval(uid(3, 2)).status == EvalStatus.PENDING


def test_no_shutdown_delay_reaches_the_allocations(world):
    on, _ = placed(world)
    before = world.state.node_alloc_versions(on.id)
    world.apply(JobDeregister(time_ns=5, namespace="default", job_id="web", no_shutdown_delay=True))
    assert world.state.alloc(uid(0, 3)).desired_transition.no_shutdown_delay
    assert world.state.node_alloc_versions(on.id) != before


def test_a_complete_evaluation_cancels_the_blocked_ones(world):
    """BE8."""
    blocked = evaluation(1, status=EvalStatus.BLOCKED)
    other = evaluation(2, "other", status=EvalStatus.BLOCKED)
    world.apply(EvalsUpsert(time_ns=1, evaluations=(blocked, other)))
    failing = done(3, failed_tg_allocs={"g": AllocMetric()}, queued_allocations={"g": 2})
    world.job()
    world.apply(EvalsUpsert(time_ns=2, evaluations=(failing,)))
    assert world.state.eval(blocked.id).status == EvalStatus.BLOCKED
    assert world.state.summary("default", "web").summary["g"].queued == 2
    changes = world.apply(EvalsUpsert(time_ns=3, evaluations=(done(4, queued_allocations={"g": 0}),)))
    assert world.state.eval(blocked.id).status == EvalStatus.CANCELED
    assert world.state.eval(other.id).status == EvalStatus.BLOCKED
    assert [after.id for _, after in changes.evals] == [uid(4, 2), blocked.id]
    assert world.state.summary("default", "web").summary["g"].queued == 0


def test_an_ended_evaluation_is_not_reopened(world):
    world.apply(EvalsUpsert(time_ns=5, evaluations=(done(1),)))
    changes = world.apply(EvalsUpsert(time_ns=6, evaluations=(evaluation(1),)))
    assert changes.dropped.keys() == {uid(1, 2)}
    stored = world.state.eval(uid(1, 2))
    assert (stored.status, stored.create_index, stored.create_time_ns) == (EvalStatus.COMPLETE, 1, 5)
    world.apply(EvalsUpsert(time_ns=7, evaluations=(done(1, next_eval="n"),)))
    assert world.state.eval(uid(1, 2)).next_eval == "n"


def test_collect_looks_again(world):
    on, of = placed(world, 3)
    world.apply(EvalsUpsert(time_ns=1, evaluations=(evaluation(1), done(2))))
    report(world, on, ClientStatus.COMPLETE, number=0)
    report(world, on, ClientStatus.RUNNING, number=1)
    world.apply(plan(of, stops=(stop(uid(1, 3), on),)))
    wish = Collect(
        time_ns=9,
        evals=(uid(1, 2), uid(2, 2), uid(77, 2)),
        allocs=(uid(0, 3), uid(1, 3), uid(2, 3), uid(77, 3)),
        jobs=(("default", "web"), ("default", "nobody")),
        nodes=(on.id, "nobody"),
    )
    changes = world.apply(wish)
    assert changes.dropped.keys() == {uid(1, 3), uid(2, 3), uid(1, 2), "default/web", on.id}
    assert world.state.alloc(uid(0, 3)) is None
    assert world.state.alloc_count == 2
    assert world.state.eval(uid(2, 2)) is None
    assert world.state.summary("default", "web").summary["g"].complete == 1  # history stays


def test_collect_of_a_dead_job_and_a_node(world):
    on, of = placed(world, 2)
    world.apply(JobDeregister(time_ns=5, namespace="default", job_id="web"))
    world.apply(EvalsUpsert(time_ns=1, evaluations=(done(2),)))
    for number in (0, 1):
        report(world, on, ClientStatus.COMPLETE, number=number)
    assert world.state.job("default", "web").status == JobStatus.DEAD
    world.apply(NodeStatusUpdate(time_ns=3, node_ids=(on.id,), status=NodeStatus.DOWN))
    changes = world.apply(Collect(time_ns=9, jobs=(("default", "web"),), nodes=(on.id,)))
    assert not changes.dropped
    assert world.state.job("default", "web") is None
    assert world.state.node(on.id) is None
    assert world.state.alloc_count == 0
    assert list(world.state.evals()) == []
    assert world.state._tables.allocs.blocks.get(0) is None


def test_a_node_that_comes_back_has_a_new_epoch(world):
    on = world.node(1)
    world.apply(NodeStatusUpdate(time_ns=3, node_ids=(on.id,), status=NodeStatus.DOWN))
    world.apply(Collect(time_ns=9, nodes=(on.id,)))
    assert world.node(1).epoch > on.epoch


def test_the_cluster_is_named_once(world):
    world.apply(ClusterInit(time_ns=1, cluster_id="a"))
    assert world.state.cluster_id == "a"
    assert world.apply(ClusterInit(time_ns=1, cluster_id="a")).result is None
    assert isinstance(world.apply(ClusterInit(time_ns=1, cluster_id="b")).result, Conflict)


def test_time_never_goes_back_and_indexes_go_forward(world):
    world.apply(Noop(time_ns=50))
    changes = world.apply(Noop(time_ns=7))
    assert (changes.time_ns, world.state.time_ns, changes.empty) == (50, 50, True)
    with pytest.raises(InvariantBroken):
        world.state.apply(2, Noop(time_ns=9))


def test_prefixes_find_ids_of_all_kinds(world):
    on, of = placed(world, 40)
    row = alloc(900, on, of)
    world.apply(plan(of, allocs=(row,), on=[on]))
    report(world, on, ClientStatus.RUNNING, number=3)
    ids = sorted([uid(n, 3) for n in range(40)] + [row.id])
    for prefix in ("", ids[0][:1], ids[5][:2], ids[7][:7], ids[9][:10], ids[9], row.id[:13], "zz", "0-"):
        assert world.state.resolve_prefix("allocs", prefix) == [i for i in ids if i.startswith(prefix)]
    assert world.state.resolve_prefix("nodes", on.id[:4]) == [on.id]
    assert world.state.resolve_prefix("evals", "zz") == []
    assert world.state.alloc("not-an-id") is None
    assert world.state.alloc("z" * 36) is None


def test_table_indexes(world):
    on, of = placed(world)
    at = world.state.index
    world.node(2)
    assert world.state.table_index("allocs") == at
    assert world.state.table_index("nodes") == at + 1
    assert world.state.table_index("cluster") == 0
    assert world.state.alloc(uid(0, 3)).desired_status == DesiredStatus.RUN
