"""The plan check: what fits is let through, the rest is named."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.evaluation.plan_check import Checked, check_plan
from daemon.model.enums import ClientStatus, Eligibility, NodeStatus
from daemon.model.job import Job, TaskGroup
from daemon.model.node import DrainStrategy, Node, NodeQuarantine
from daemon.model.plan import AllocMark, AllocStop, Plan
from daemon.model.resources import AllocatedResources, Network, Port, Usage
from daemon.scheduler.schedule import schedule
from daemon.state.deltas import STATE_WORDS
from tests.scheduler.fleetkit import MiniWorld, make_group, make_job, make_node


def plan_of(w: MiniWorld, job: Job, seed: int = 1) -> Plan:
    kept, w.allocs = w.allocs, {}
    try:
        return schedule(w.input(job, seed=seed), w.tracker.fleet).plan
    finally:
        w.allocs = kept


def check(w: MiniWorld, plan: Plan) -> Checked:
    return check_plan(w.tracker, plan, w.allocs.get)


def one_each(**facts: Any) -> TaskGroup:
    return make_group("web", 2, cpu=3000, **facts)


def two_nodes() -> MiniWorld:
    return MiniWorld([make_node("a"), make_node("b")])


def nodes_of(plan: Plan) -> list[str]:
    return sorted(a.node_id for block in plan.blocks for a in (block.row(i) for i in range(block.count)))


def test_a_plan_that_fits_passes_as_it_is() -> None:
    w = two_nodes()
    plan = plan_of(w, make_job(one_each()))
    checked = check(w, plan)
    assert checked.plan is plan and checked.result.full and checked.result.refresh_index == 0


def test_pa2_the_full_node_is_left_out_and_named() -> None:
    w = two_nodes()
    plan = plan_of(w, make_job(one_each()))
    other = plan_of(w, make_job(make_group(count=1, cpu=3000), id="other"))
    w.tracker.reserve(other)
    [taken] = nodes_of(other)
    accepted, result = check(w, plan)
    assert len(nodes_of(accepted)) == 1 and taken not in nodes_of(accepted)
    assert not result.full and list(result.rejected) == [taken] and result.refresh_index > 0
    assert "no room" in result.rejected[taken]


def test_pa3_all_at_once_commits_nothing_then() -> None:
    w = two_nodes()
    plan = plan_of(w, make_job(one_each(), all_at_once=True))
    w.tracker.reserve(plan_of(w, make_job(make_group(count=1, cpu=3000), id="other")))
    accepted, result = check(w, plan)
    assert accepted.empty and not result.full


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("is down", {"status": NodeStatus.DOWN}),
    ("is disconnected", {"status": NodeStatus.DISCONNECTED}),
    ("is draining", {"drain_strategy": DrainStrategy()}),
    ("is ineligible", {"scheduling_eligibility": Eligibility.INELIGIBLE}),
    ("is quarantined", {"quarantine": NodeQuarantine(reason="three jobs failed there")}),
    ("has changed since the plan was made (epoch 1, now 2)", {"node_class": "new"}),
]


@pytest.mark.parametrize(("why", "facts"), CHANGES)
def test_pa4_nodes_that_changed_are_refused(why: str, facts: dict[str, Any]) -> None:
    w = two_nodes()
    plan = plan_of(w, make_job(one_each()))
    w.set_node(msgspec.structs.replace(w.nodes["node-a"], **facts))
    accepted, result = check(w, plan)
    assert nodes_of(accepted) == ["node-b"]
    assert why in result.rejected["node-a"]


def test_pa4_a_node_that_is_gone_is_refused() -> None:
    w = two_nodes()
    plan = plan_of(w, make_job(one_each()))
    w.remove_node("node-a")
    accepted, result = check(w, plan)
    assert nodes_of(accepted) == ["node-b"] and "is gone" in result.rejected["node-a"]


def test_pa6_room_that_the_plan_frees_itself_counts() -> None:
    w = MiniWorld([make_node("a")])
    job = make_job(make_group(count=1, cpu=3000))
    w.run(job)
    newer = msgspec.structs.replace(
        job, version=1, job_modify_index=20, task_groups=(make_group(count=1, cpu=3500),)
    )
    plan = schedule(w.input(newer), w.tracker.fleet).plan
    accepted, result = check(w, plan)
    assert result.full and len(accepted.allocs) == 1 and len(accepted.stops) == 1
    # without its stop the same placement has no room, and the tied stop falls with a refused placement.
    assert not check(w, msgspec.structs.replace(plan, stops=())).result.full
    w.set_node(msgspec.structs.replace(w.nodes["node-a"], scheduling_eligibility=Eligibility.INELIGIBLE))
    accepted, result = check(w, plan)
    assert not result.full and accepted.empty


def test_a_stop_of_what_has_ended_meanwhile_frees_nothing() -> None:
    w = MiniWorld([make_node("a")])
    job = make_job(make_group(count=1, cpu=3000))
    w.run(job)
    newer = msgspec.structs.replace(
        job, version=1, job_modify_index=20, task_groups=(make_group(count=1, cpu=3500),)
    )
    plan = schedule(w.input(newer), w.tracker.fleet).plan
    [held] = w.allocs
    w.change(held, client_status=ClientStatus.COMPLETE)
    w.tracker.reserve(plan_of(w, make_job(make_group(count=1, cpu=2000), id="other")))
    _, result = check(w, plan)
    assert not result.full, "its room is free already, and somebody else has a part of it"


def test_a_node_that_takes_no_work_is_refused_whatever_its_epoch_says() -> None:
    w = two_nodes()
    plan = plan_of(w, make_job(one_each()))
    w.tracker.fleet.state[w.tracker.fleet.row_of["node-a"]] = STATE_WORDS.index("draining")
    accepted, result = check(w, plan)
    assert nodes_of(accepted) == ["node-b"] and "is draining" in result.rejected["node-a"]


def test_room_of_a_tied_stop_is_its_replacements_alone() -> None:
    w = MiniWorld([make_node("a"), make_node("b")])
    job = make_job(make_group(count=2, cpu=3000, networks=(STATIC,)))
    w.run(job)
    group = make_group(count=2, cpu=2500, networks=(STATIC,))
    newer = msgspec.structs.replace(job, version=1, job_modify_index=20, task_groups=(group,))
    plan = schedule(w.input(newer), w.tracker.fleet).plan
    assert len(plan.allocs) == 2
    stop = plan.stops[0]
    # the replacements change places: each would stand on the room that the other's stop frees.
    other = {"node-a": "node-b", "node-b": "node-a"}
    crossed = tuple(msgspec.structs.replace(a, node_id=other[a.node_id]) for a in plan.allocs)
    accepted, result = check(w, msgspec.structs.replace(plan, allocs=crossed))
    assert accepted.empty and set(result.rejected) == {"node-a", "node-b"}
    # a smaller replacement does not leave the difference to others.
    extra = plan_of(w, make_job(make_group(count=1, cpu=1400), id="extra")).blocks
    assert not extra
    replaced = next(a for a in plan.allocs if a.id == stop.replaced_by)
    third = msgspec.structs.replace(
        replaced, id="third", allocated_resources=AllocatedResources(usage=Usage(cpu=1200))
    )
    accepted, result = check(w, msgspec.structs.replace(plan, allocs=(*plan.allocs, third)))
    assert [a.id for a in accepted.allocs] == [a.id for a in plan.allocs] and not result.full


def test_pa7_stops_on_a_disconnected_node_pass() -> None:
    w = two_nodes()
    w.run(make_job(one_each()))
    victim = w.live()[0]
    w.set_node(msgspec.structs.replace(w.nodes[victim.node_id], status=NodeStatus.DISCONNECTED))
    stop = AllocStop(alloc_id=victim.id, node_id=victim.node_id)
    plan = Plan(eval_id="e", namespace="default", job_id="job", job_version=0, stops=(stop,))
    accepted, result = check(w, plan)
    assert result.full and accepted.stops == (stop,)


STATIC = Network(reserved_ports=(Port(label="http", value=8080),))
DYNAMIC = Network(dynamic_ports=(Port(label="http", to=-1),))


def test_pa8_a_static_port_is_given_once() -> None:
    w = MiniWorld([make_node("a")])
    first = plan_of(w, make_job(make_group(count=1, networks=(STATIC,))))
    second = plan_of(w, make_job(make_group(count=1, networks=(STATIC,)), id="other"))
    assert check(w, first).result.full
    w.tracker.reserve(first)
    accepted, result = check(w, second)
    assert accepted.empty and "port 8080" in result.rejected["node-a"]


def test_pa8_a_dynamic_port_is_moved() -> None:
    w = MiniWorld([make_node("a", port_range=(20000, 20003))])
    group = make_group(count=2, networks=(DYNAMIC,))
    first = plan_of(w, make_job(group))
    second = plan_of(w, make_job(group, id="other"))
    w.tracker.reserve(first)
    accepted, result = check(w, second)
    assert result.full
    w.tracker.reserve(accepted)
    given_ = [
        port
        for plan in (first, accepted)
        for i in range(2)
        for port in plan.blocks[0].row(i).allocated_resources.shared.ports
    ]
    assert sorted(port.value for port in given_) == [20000, 20001, 20002, 20003]
    assert all(port.to == port.value for port in given_)
    _, result = check(w, plan_of(w, make_job(group, id="third")))
    assert result.full, "an empty plan is full"
    third = msgspec.structs.replace(first, eval_id="third")
    accepted, result = check(w, third)
    assert accepted.empty and "no dynamic port" in result.rejected["node-a"]


def test_a_moved_port_is_not_given_to_the_next_row_of_the_same_plan() -> None:
    w = MiniWorld([make_node("a", port_range=(20000, 20004))])
    plan = plan_of(w, make_job(make_group(count=3, networks=(DYNAMIC,))))
    taken = plan_of(w, make_job(make_group(count=1, networks=(DYNAMIC,)), id="other"), seed=5)
    first = plan.blocks[0].ports[0].values[:2]
    column = msgspec.structs.replace(taken.blocks[0].ports[0], values=first)
    w.tracker.reserve(
        msgspec.structs.replace(taken, blocks=(msgspec.structs.replace(taken.blocks[0], ports=(column,)),))
    )
    accepted, result = check(w, plan)
    assert result.full
    values = np.frombuffer(accepted.blocks[0].ports[0].values, dtype="<u2").tolist()
    assert len({*values, int.from_bytes(first, "little")}) == 4


def test_in_place_updates_need_only_the_node() -> None:
    w = MiniWorld([make_node("a")])
    job = make_job()
    w.run(job)
    plan = schedule(
        w.input(msgspec.structs.replace(job, version=1, job_modify_index=20)), w.tracker.fleet
    ).plan
    assert len(plan.in_place) == 1
    w.set_node(msgspec.structs.replace(w.nodes["node-a"], scheduling_eligibility=Eligibility.INELIGIBLE))
    assert check(w, plan).result.full
    w.remove_node("node-a")
    assert not check(w, plan).plan.in_place


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(500, 2000), st.integers(200, 2000)), min_size=1, max_size=4),
    st.lists(
        st.tuples(st.integers(1, 8), st.integers(100, 900), st.integers(50, 700), st.booleans()), max_size=5
    ),
)
def test_stale_plans_in_any_order_never_over_commit(
    nodes: list[tuple[int, int]], groups: list[tuple[int, int, int, bool]]
) -> None:
    w = MiniWorld(
        [make_node(str(i), cpu=c, memory=m, port_range=(20000, 20005)) for i, (c, m) in enumerate(nodes)]
    )
    plans = [
        plan_of(
            w,
            make_job(make_group(count=n, cpu=c, memory=m, networks=(DYNAMIC,) if p else ()), id=f"job-{i}"),
            seed=i,
        )
        for i, (n, c, m, p) in enumerate(groups)
    ]
    fleet = w.tracker.fleet
    for plan in plans:
        accepted, result = check(w, plan)
        assert result.full == (accepted.placements == plan.placements)
        w.tracker.reserve(accepted)
        assert (fleet.used() <= fleet.capacity).all()
        for holders in fleet.own_ports.values():
            assert all(count == 1 for count in holders.values())
    rest = np.concatenate([fleet.capacity[:2, : fleet.rows] - fleet.used()[:2, : fleet.rows]])
    assert (rest >= 0).all()


def test_node_record_keeps_its_epoch() -> None:
    node: Node = make_node("a")
    assert node.epoch == 1


def test_pa7_a_node_out_of_sight_is_told_nothing_but_marks_and_stops_pass() -> None:
    w = MiniWorld([make_node("a")])
    job = make_job()
    w.run(job)
    newer = msgspec.structs.replace(job, version=1, job_modify_index=20, priority=60)
    plan = schedule(w.input(newer), w.tracker.fleet).plan
    mark = AllocMark(alloc_id=w.live()[0].id, unknown=True)
    assert plan.in_place
    w.set_node(msgspec.structs.replace(w.nodes["node-a"], status=NodeStatus.DISCONNECTED))
    accepted, result = check(w, msgspec.structs.replace(plan, marks=(mark,)))
    assert not accepted.in_place and accepted.marks == (mark,)
    assert "is disconnected" in result.rejected["node-a"]
