"""What of a plan is stored, and what is dropped."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from daemon.model.alloc import PortColumn, RescheduleTracker
from daemon.model.enums import ClientStatus, DesiredStatus, EvalStatus, NodeStatus
from daemon.model.errors import InvalidInput
from daemon.model.plan import AllocMark, InPlaceUpdate
from daemon.model.resources import AllocatedResources, AllocatedShared, AllocatedTask
from daemon.model.tasks import TaskState, TaskStateName
from daemon.state.commands import (
    AllocClientUpdate,
    ClientUpdate,
    JobDeregister,
    JobRegister,
    NodeStatusUpdate,
)
from tests.state.state_factory import World, alloc, block, done, evaluation, job, plan, stop, u16, uid


@pytest.fixture
def world():
    return World()


def report(world, on, number, status, **facts):
    update = ClientUpdate(alloc_id=uid(number, 3), client_status=status, **facts)
    return world.apply(AllocClientUpdate(time_ns=20, node_id=on.id, updates=(update,)))


def test_a_block_reads_as_rows(world):
    nodes, of = [world.node(n) for n in range(3)], world.job()
    ports = PortColumn(label="http", to=80, values=u16(list(range(20000, 20007))), host_ips=("10.0.0.1",) * 3)
    placed = block(list(range(7)), nodes, of, ports=(ports,), canary=True)
    changes = world.apply(plan(of, blocks=(placed,), evaluations=(done(0),), time_ns=42))
    assert (changes.result.full, changes.result.placed) == (True, 7)  # type: ignore[union-attr]
    assert changes.blocks == [replace(placed, create_index=changes.index, create_time_ns=42)]
    assert changes.allocs == []
    assert changes.tables == ("jobs", "evals", "allocs", "summaries")
    for number in range(7):
        row = world.state.alloc(uid(number, 3))
        assert row == changes.blocks[0].row(number)
        assert row.node_id == nodes[number % 3].id
        assert row.node_name == f"node-{number % 3}"
        assert row.allocated_resources.shared.ports[0].value == 20000 + number
        assert row.alloc_modify_index == changes.index
    assert world.state.alloc_count == 7
    assert {a.id for a in world.state.allocs_by_node(nodes[0].id)} == {uid(n, 3) for n in (0, 3, 6)}
    assert world.state.node_alloc_versions(nodes[1].id) == {uid(n, 3): changes.index for n in (1, 4)}
    assert [a.id for a in world.state.allocs_by_job("default", "web")] == [uid(n, 3) for n in range(7)]
    assert len(list(world.state.allocs_by_eval(uid(0, 2)))) == 7
    assert world.state.summary("default", "web").summary["g"].starting == 7


def test_different_addresses_per_node_are_kept(world):
    nodes, of = [world.node(n) for n in range(2)], world.job()
    column = PortColumn(label="http", to=0, values=u16([1, 2, 3]), host_ips=("10.0.0.1", "10.0.0.2"))
    world.apply(plan(of, blocks=(block([0, 1, 2], nodes, of, ports=(column,)),)))
    found = [
        a.allocated_resources.shared.ports[0].host_ip for a in world.state.allocs_by_job("default", "web")
    ]
    assert found == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]


@pytest.mark.parametrize("how", ["down", "shape", "gone", "never"])
def test_placements_on_a_node_that_changed_are_dropped(world, how):
    good, bad, of = world.node(1), world.node(2), world.job()
    placed = block([0, 1, 2, 3], [good, bad], of)
    row = alloc(9, bad, of)
    if how == "down":
        world.apply(NodeStatusUpdate(time_ns=3, node_ids=(bad.id,), status=NodeStatus.DOWN))
    elif how == "shape":
        world.node(2, attributes={"kernel.name": "other"})
    elif how == "gone":
        world.state._tables.pop_node(bad.id)
    else:
        placed = replace(placed, nodes=(good.id, uid(99, 1)))
        row = replace(row, node_id=uid(99, 1))
    epochs = replace(plan(of, on=[good, bad]), blocks=(placed,), allocs=(row,), evaluations=(done(0),))
    changes = world.apply(epochs)
    assert (changes.result.full, changes.result.placed) == (False, 2)  # type: ignore[union-attr]
    assert set(changes.dropped) == {row.node_id, row.id}
    assert changes.blocks[0].count == 2
    assert {a.id for a in world.state.allocs()} == {uid(0, 3), uid(2, 3)}
    assert world.state.eval(uid(0, 2)) is None  # its outcome is withheld
    assert world.state.summary("default", "web").summary["g"].starting == 2


@pytest.mark.parametrize("how", ["stopped", "purged", "changed"])
def test_placements_of_a_job_that_changed_are_dropped(world, how):
    on, of = world.node(1), world.job()
    if how == "changed":
        world.apply(JobRegister(time_ns=3, job=job(priority=60)))
    else:
        world.apply(JobDeregister(time_ns=3, namespace="default", job_id="web", purge=how == "purged"))
    changes = world.apply(plan(of, blocks=(block([0], [on], of),), allocs=(alloc(1, on, of),), on=[on]))
    assert (changes.result.full, changes.result.placed) == (False, 0)  # type: ignore[union-attr]
    assert changes.dropped.keys() == {on.id, uid(1, 3)}
    assert world.state.alloc_count == 0


def test_a_placement_of_an_older_version_that_is_kept_is_stored(world):
    on, _ = world.node(1), world.job()
    world.apply(JobRegister(time_ns=3, job=job(priority=60)))
    latest = world.state.job("default", "web")
    good, bad = alloc(1, on, latest, job_version=0), alloc(2, on, latest, job_version=7)
    changes = world.apply(plan(latest, allocs=(good, bad), on=[on]))
    assert changes.dropped.keys() == {bad.id}
    assert world.state.alloc(good.id).job_version == 0
    assert world.state.versions_in_use("default", "web") == [0]


def test_the_same_plan_twice_places_once(world):
    on, of = world.node(1), world.job()
    command = plan(of, blocks=(block([0, 1], [on], of),), allocs=(alloc(2, on, of),), on=[on])
    world.apply(command)
    changes = world.apply(command)
    assert (changes.result.full, changes.result.placed) == (False, 0)  # type: ignore[union-attr]
    assert world.state.alloc_count == 3
    assert world.state.summary("default", "web").summary["g"].starting == 3


def test_followup_evaluations_are_stored_even_when_not_full(world):
    on, of = world.node(1), world.job()
    later = evaluation(5, wait_until_ns=99)
    blocked = evaluation(6, status=EvalStatus.BLOCKED)
    stale = block([0], [on], of, node_epochs=(0,))
    world.apply(plan(of, blocks=(stale,), evaluations=(done(0), later, blocked)))
    assert world.state.eval(later.id) is not None
    assert world.state.eval(blocked.id) is None


@pytest.mark.parametrize("placed", [True, False])
def test_a_stop_with_its_replacement_is_one_step(world, placed):
    on, of = world.node(1), world.job()
    world.apply(plan(of, blocks=(block([0], [on], of),)))
    new = alloc(1, on, of, previous_allocation=uid(0, 3))
    ending = stop(uid(0, 3), on, replaced_by=new.id, desired_description="newer")
    epochs = [on] if placed else []
    changes = world.apply(plan(of, allocs=(new,), stops=(ending,), on=epochs))
    old = world.state.alloc(uid(0, 3))
    if placed:
        assert old.desired_status == DesiredStatus.STOP
        assert old.next_allocation == new.id
        assert old.alloc_modify_index == changes.index
        assert [(b.id if b else None, a.id) for b, a in changes.allocs] == [(None, new.id), (old.id, old.id)]
        assert changes.allocs[1][0].next_allocation == ""
    else:
        assert old.desired_status == DesiredStatus.RUN
        assert old.next_allocation == ""
        assert changes.dropped.keys() == {new.id, old.id}


def test_a_replacement_may_come_in_a_block(world):
    on, of = world.node(1), world.job()
    world.apply(plan(of, allocs=(alloc(0, on, of),), on=[on]))
    changes = world.apply(
        plan(
            of,
            eval_id=uid(1, 2),
            blocks=(block([1, 2], [on], of, eval_id=uid(1, 2)),),
            stops=(stop(uid(0, 3), on, replaced_by=uid(2, 3)),),
        )
    )
    assert not changes.dropped
    assert world.state.alloc(uid(0, 3)).server_terminal


def test_the_nodes_word_wins_over_the_plan(world):
    on, of = world.node(1), world.job()
    world.apply(plan(of, blocks=(block([0, 1], [on], of),)))
    states = {"web": TaskState(state=TaskStateName.DEAD, failed=True)}
    report(world, on, 0, ClientStatus.FAILED, task_states=states)
    gone = [stop(uid(n, 3), on, client_status=ClientStatus.LOST, desired_description="lost") for n in (0, 1)]
    world.apply(plan(of, stops=tuple(gone)))
    ended, lost = world.state.alloc(uid(0, 3)), world.state.alloc(uid(1, 3))
    assert (ended.client_status, ended.task_states) == (ClientStatus.FAILED, states)
    assert lost.client_status == ClientStatus.LOST
    assert ended.server_terminal
    assert lost.server_terminal
    assert world.state.summary("default", "web").summary["g"].lost == 1


def test_in_place_moves_version_and_spec(world):
    on, of = world.node(1), world.job()
    world.apply(plan(of, blocks=(block([0], [on], of),)))
    world.apply(JobRegister(time_ns=3, job=job(meta={"a": "b"})))
    latest = world.state.job("default", "web")
    more = AllocatedResources(tasks={"web": AllocatedTask(cpu_shares=200)}, shared=AllocatedShared(disk_mb=1))
    update = InPlaceUpdate(
        alloc_id=uid(0, 3),
        node_id=on.id,
        job_version=1,
        job_spec_index=latest.job_modify_index,
        allocated_resources=more,
    )
    changes = world.apply(plan(latest, in_place=(update,)))
    row = world.state.alloc(uid(0, 3))
    assert (row.job_version, row.allocated_resources, row.alloc_modify_index) == (1, more, changes.index)
    assert world.state.versions_in_use("default", "web") == [1]
    assert world.state.node_alloc_versions(on.id) == {row.id: changes.index}


def test_marks_do_not_wake_the_node(world):
    on, of = world.node(1), world.job()
    world.apply(plan(of, blocks=(block([0], [on], of),)))
    mark = AllocMark(
        alloc_id=uid(0, 3), followup_eval_id="e", reschedule_tracker=RescheduleTracker(last_reschedule="ok")
    )
    before = world.state.node_alloc_versions(on.id)
    changes = world.apply(plan(of, marks=(mark,)))
    row = world.state.alloc(uid(0, 3))
    assert (row.followup_eval_id, row.reschedule_tracker.last_reschedule) == ("e", "ok")
    assert row.modify_index == changes.index
    assert world.state.node_alloc_versions(on.id) == before
    assert world.apply(plan(of, marks=(mark,))).allocs == []


@pytest.mark.parametrize(
    "broken",
    [
        {"count": 3},
        {"count": 0, "ids": b"", "node_rows": b"", "indexes": b""},
        {"node_rows": b"\xff\xff\xff\xff" * 2},
        {"node_names": ()},
        {"indexes": b""},
        {"ports": (PortColumn(label="p", to=0, values=b"\0"),)},
        {"ports": (PortColumn(label="p", to=0, values=b"\0" * 4, host_ips=("a", "b", "c")),)},
        {"ids": b"\1" * 32},
    ],
)
def test_columns_that_do_not_fit_refuse_the_whole_plan(world, broken):
    on, of = world.node(1), world.job()
    bad = replace(block([0, 1], [on], of), **broken)
    changes = world.apply(plan(of, blocks=(block([5], [on], of), bad)))
    assert isinstance(changes.result, InvalidInput)
    assert changes.empty
    assert world.state.alloc_count == 0
