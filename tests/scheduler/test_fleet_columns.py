"""Fleet, deltas and tracker: a follower has what the server has; the server what a recount gives."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.base import decode, encode
from daemon.model.enums import ClientStatus, DesiredStatus, NodeStatus
from daemon.model.plan import Plan
from daemon.model.resources import Network, Port
from daemon.scheduler.schedule import schedule
from daemon.state.columns import Column
from daemon.state.deltas import FleetDelta, GapError
from daemon.state.fleet import Fleet
from daemon.state.tracker import FleetTracker
from tests.scheduler.fleetkit import FakeChanges, MiniWorld, make_group, make_job, make_node

PORT = (Network(dynamic_ports=(Port(label="a"),)),)


def facts(fleet: Fleet) -> dict[str, Any]:
    """All that a fleet says, by node and without codes."""
    assert (fleet.total == fleet.wanted + fleet.stopping + fleet.own).all()
    out: dict[str, Any] = {}
    for row in range(fleet.rows):
        columns = {
            key: column.get(row) for key, column in fleet.columns.items() if column.get(row) is not None
        }
        out[str(row)] = (
            fleet.ids[row] if fleet.alive[row] else None,
            bool(fleet.alive[row]),
            int(fleet.state[row]) if fleet.alive[row] else None,
            int(fleet.epochs[row]) if fleet.alive[row] else None,
            fleet.capacity[:, row].tolist() if fleet.alive[row] else None,
            (fleet.wanted + fleet.own)[:, row].tolist(),
            fleet.stopping[:, row].tolist(),
            columns,
            sorted(fleet.ports.get(row, set()) | set(fleet.own_ports.get(row, ()))),
            fleet.datacenter.get(row) if fleet.alive[row] else None,
        )
    return out


def sent(delta: FleetDelta) -> FleetDelta:
    return decode(encode(delta), FleetDelta)


def follow(fleet: Fleet, tracker: FleetTracker) -> None:
    fleet.apply(sent(tracker.delta_since(fleet.sequence, fleet.epoch)))


def test_column_codes_rebuild_when_the_vocabulary_outgrows_the_rows() -> None:
    column = Column(2)
    for i in range(500):
        column.set(i % 2, f"w{i}")
    assert len(column.vocabulary) < 200
    assert (column.get(0), column.get(1)) == ("w498", "w499")
    column.set(0, None)
    assert column.get(0) is None and column.code("never") == -2


def test_a_follower_gets_everything_then_changes_only() -> None:
    w = MiniWorld([make_node(str(i), meta={"r": str(i)}) for i in range(100)])
    fleet = Fleet()
    follow(fleet, w.tracker)
    assert facts(fleet) == facts(w.tracker.fleet)
    w.set_node(make_node("3", status=NodeStatus.DOWN))
    w.run(make_job(make_group(count=5, networks=PORT)))
    delta = sent(w.tracker.delta_since(fleet.sequence, fleet.epoch))
    assert len(delta.nodes) == 1 and not delta.full and len(delta.usage_rows) == 4 * 5
    fleet.apply(delta)
    assert facts(fleet) == facts(w.tracker.fleet)


def test_gaps_are_refused_and_repeats_do_no_harm() -> None:
    w = MiniWorld([make_node("a")])
    fleet = Fleet()
    with pytest.raises(GapError):
        fleet.apply(w.tracker.delta_since(w.tracker.sequence))
    follow(fleet, w.tracker)
    w.set_node(make_node("b"))
    delta = w.tracker.delta_since(fleet.sequence, fleet.epoch)
    fleet.apply(delta)
    fleet.apply(delta)
    assert facts(fleet) == facts(w.tracker.fleet)
    with pytest.raises(GapError):
        fleet.apply(msgspec.structs.replace(delta, epoch=99))
    old_epoch = fleet.epoch
    w.tracker.rebuild(w.index, w.nodes.values(), ())
    follow(fleet, w.tracker)
    assert fleet.epoch != old_epoch and facts(fleet) == facts(w.tracker.fleet)


def test_a_worker_keeps_its_own_plans_until_the_server_has_counted_them() -> None:
    w = MiniWorld([make_node("a")])
    fleet = Fleet()
    follow(fleet, w.tracker)
    plan = schedule(w.input(make_job(make_group(count=2, networks=PORT))), fleet).plan
    fleet.reserve(plan)
    assert fleet.used()[0, 0] == 1000 and len(fleet.own_ports[0]) == 2
    # a delta made before the server saw the plan does not take it away.
    w.set_node(make_node("b"))
    w.tracker.touch(["node-a"])
    follow(fleet, w.tracker)
    assert fleet.used()[0, 0] == 1000
    ticket = w.tracker.reserve(plan)
    fleet.apply(w.tracker.delta_since(fleet.sequence, fleet.epoch, (plan.eval_id,)))
    assert fleet.used()[0, 0] == 1000 and fleet.own.sum() == 0
    assert facts(fleet) == facts(w.tracker.fleet)
    w.tracker.release(ticket)
    follow(fleet, w.tracker)
    assert fleet.used()[0, 0] == 0 and fleet.free_dynamic[0] == 12001


def test_a_block_in_one_step_counts_as_its_rows() -> None:
    w = MiniWorld([make_node(str(i)) for i in range(4)])
    plan = schedule(w.input(make_job(make_group(count=9, networks=PORT))), w.tracker.fleet).plan
    other = FleetTracker()
    other.rebuild(1, w.nodes.values(), ())
    other.observe(FakeChanges(2, blocks=list(plan.blocks)))
    w.apply(plan)
    assert facts(other.fleet) == facts(w.tracker.fleet)
    third = FleetTracker()
    third.rebuild(1, w.nodes.values(), (), plan.blocks)
    assert facts(third.fleet) == facts(w.tracker.fleet)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("node"), st.integers(0, 5), st.sampled_from(["x", "y", None])),
        st.tuples(st.just("gone"), st.integers(0, 5)),
        st.tuples(st.just("job"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("client"), st.integers(0, 20), st.sampled_from(list(ClientStatus))),
        st.tuples(st.just("stop"), st.integers(0, 20)),
        st.tuples(st.just("hold"), st.integers(1, 3)),
        st.tuples(st.just("release")),
        st.tuples(st.just("sync"), st.integers(0, 1)),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_followers_and_recounts_agree_after_any_history(steps: list[tuple[Any, ...]]) -> None:
    w = MiniWorld([make_node(str(i)) for i in range(3)])
    followers = [Fleet(), Fleet()]
    held: list[str] = []
    for number, step in enumerate(steps):
        allocs = sorted(w.allocs)
        match step:
            case ("node", n, mark):
                w.set_node(make_node(str(n), meta={"m": mark} if mark else {}))
            case ("gone", n) if f"node-{n}" in w.nodes:
                w.remove_node(f"node-{n}")
            case ("job", count, ports):
                kept, w.allocs = w.allocs, {}
                plan = schedule(
                    w.input(
                        make_job(make_group(count=count, networks=PORT if ports else ()), id=f"j{number}")
                    ),
                    w.tracker.fleet,
                ).plan
                w.allocs = kept
                w.apply(plan)
            case ("client", n, status) if allocs:
                w.change(allocs[n % len(allocs)], client_status=status)
            case ("stop", n) if allocs:
                w.change(allocs[n % len(allocs)], desired_status=DesiredStatus.STOP)
            case ("hold", count):
                job = make_job(make_group(count=count, networks=PORT), id=f"h{number}")
                kept, w.allocs = w.allocs, {}
                held.append(w.tracker.reserve(schedule(w.input(job), w.tracker.fleet).plan))
                w.allocs = kept
            case ("release",) if held:
                w.tracker.release(held.pop())
            case ("sync", n):
                follow(followers[n], w.tracker)
    for follower in followers:
        follow(follower, w.tracker)
        assert facts(follower) == facts(w.tracker.fleet)
        live = follower.alive
        assert (follower.free_dynamic[live] == w.tracker.fleet.free_dynamic[: follower.length][live]).all()
    for ticket in held:
        w.tracker.release(ticket)
    recount = FleetTracker()
    recount.rebuild(w.index, w.nodes.values(), w.allocs.values())
    mine, theirs = w.tracker.fleet, recount.fleet
    for node_id, row in mine.row_of.items():
        other = theirs.row_of.get(node_id)
        there = np.zeros(4) if other is None else theirs.used()[:, other]
        assert (mine.used()[:, row] == there).all()
        assert mine.ports.get(row, set()) == (set() if other is None else theirs.ports.get(other, set()))


def test_an_empty_plan_reserves_nothing() -> None:
    fleet = Fleet()
    fleet.reserve(Plan(eval_id="e", namespace="default", job_id="j", job_version=0))
    fleet.settle(("e", "unknown"))
    assert fleet.own.sum() == 0
