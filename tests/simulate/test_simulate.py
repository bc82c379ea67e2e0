"""What simulations say: placements, reasons, machines to add, losses; always the same answer."""

from __future__ import annotations

import msgspec
import pytest

from daemon.model.alloc import Allocation
from daemon.model.errors import InvalidInput
from daemon.simulate.simulate import simulate
from daemon.simulate.world import World
from daemon.state.state import State
from tests.simulate.simkit import FLEET, kinds_in, make_job, make_world

BOTH = FLEET + 'machine "large" {\n  count = 0\n  cpu = 4000\n  memory = 4000\n  node_class = "large"\n}\n'


def test_all_that_fits_is_placed_and_counted() -> None:
    report = simulate(make_world(), [make_job(count=4), make_job("db", count=2, cpu=500)])
    assert report.fits and report.needed is None and report.loss is None
    assert [(g.job_id, g.wanted, g.placed, g.missing) for g in report.groups] == [
        ("web", 4, 4, 0),
        ("db", 2, 2, 0),
    ]
    assert sum(node.cpu_used for node in report.usage) == 4 * 100 + 2 * 500
    assert sum(node.allocations for node in report.usage) == 6


def test_what_does_not_fit_is_explained_with_the_nearest_miss() -> None:
    report = simulate(make_world(), [make_job(count=8, cpu=800)])
    [group] = report.groups
    assert (report.fits, group.placed, group.missing) == (False, 6, 2)
    words = "\n".join(group.reasons)
    assert "too little free CPU" in words and "nearest miss" in words


def test_machines_to_add_are_counted_by_the_scheduler_itself() -> None:
    kinds = kinds_in(BOTH)
    report = simulate(make_world(BOTH), [make_job(count=16, cpu=800)], kinds=kinds)
    assert report.needed is not None
    found = {machines.kind: machines.count for machines in report.needed.options}
    # ten are left over: one on each small machine, five on each large one
    assert found == {"small": 10, "large": 2}
    assert [machines.kind for machines in report.needed.options] == ["large", "small"]


def test_with_that_many_machines_it_fits_and_with_one_less_it_does_not() -> None:
    text = BOTH.replace("count = 0", "count = 2")
    assert simulate(make_world(text), [make_job(count=16, cpu=800)]).fits
    text = BOTH.replace("count = 0", "count = 1")
    assert not simulate(make_world(text), [make_job(count=16, cpu=800)]).fits


def test_no_single_kind_serves_all_then_a_mix_does() -> None:
    pinned = 'constraint {\n attribute = "${meta.rack}"\n operator = "is_set"\n }'
    jobs = [make_job(count=8, cpu=900, group=pinned), make_job("big", count=2, cpu=3000)]
    report = simulate(make_world(BOTH), jobs, kinds=kinds_in(BOTH))
    assert report.needed is not None and not report.needed.options and not report.needed.never
    assert {(each.kind, each.count) for each in report.needed.mix} == {("small", 2), ("large", 2)}


def test_what_no_machine_can_take_is_named() -> None:
    report = simulate(make_world(BOTH), [make_job(count=1, cpu=90_000)], kinds=kinds_in(BOTH))
    assert report.needed is not None
    assert (report.needed.options, report.needed.mix) == ((), ())
    assert report.needed.never == ("default/web/g",)


def test_a_system_job_takes_its_room_on_machines_that_are_added() -> None:
    jobs = [make_job("everywhere", type_="system", cpu=400), make_job(count=8, cpu=600)]
    report = simulate(make_world(), jobs, kinds=kinds_in(FLEET))
    assert report.needed is not None
    assert [(each.kind, each.count) for each in report.needed.options] == [("small", 2)]


def test_the_more_important_job_comes_first_whatever_the_order() -> None:
    jobs = [make_job("low", count=6, cpu=900), make_job("high", count=6, cpu=900, head="priority = 90")]
    report = simulate(make_world(), jobs)
    assert {group.job_id: group.placed for group in report.groups} == {"low": 0, "high": 6}


def test_losing_a_rack_moves_its_allocations_and_only_those() -> None:
    report = simulate(make_world(), [make_job(count=6, cpu=300)], lose=["meta.rack=r1"])
    assert report.fits and report.loss is not None
    assert set(report.loss.nodes) == {"small-01", "small-04"}
    assert report.loss.moves
    assert {move.from_name for move in report.loss.moves} <= set(report.loss.nodes)
    assert all(move.to_name and move.to_name not in report.loss.nodes for move in report.loss.moves)
    before = {each.name: each.node_name for group in report.groups for each in group.placements}
    after = {each.name: each.node_name for group in report.loss.groups for each in group.placements}
    moved = {move.name for move in report.loss.moves}
    assert {name for name in before if before[name] != after[name]} == moved


def test_what_no_longer_fits_after_a_loss_is_said_with_what_would_help() -> None:
    kinds = kinds_in(FLEET)
    report = simulate(make_world(), [make_job(count=6, cpu=900)], lose=["meta.rack=r2"], kinds=kinds)
    assert not report.fits and report.needed is None and report.loss is not None
    assert [move.note for move in report.loss.moves] == ["no node has room for it"] * 2
    assert report.loss.groups[0].missing == 2 and report.loss.groups[0].reasons
    assert report.loss.needed is not None
    assert [(each.kind, each.count) for each in report.loss.needed.options] == [("small", 2)]


def test_a_system_job_on_a_lost_node_is_no_failure() -> None:
    report = simulate(make_world(), [make_job(type_="system")], lose=["small-03"])
    assert report.fits and report.loss is not None
    assert [move.note for move in report.loss.moves] == ["bound to its node"]


def test_a_job_that_is_launched_later_is_placed_as_launched_once() -> None:
    job = make_job("nightly", type_="batch", head='periodic {\n crons = ["0 3 * * *"]\n }')
    [group] = simulate(make_world(), [job]).groups
    assert (group.placed, group.missing) == (1, 0)


def settled(world: World, *jobs: object) -> tuple[State, list[Allocation]]:
    """A cluster as it would be read over the RPC."""
    simulate(world, list(jobs))  # type: ignore[arg-type]
    state = world.state
    versions = [state.job_versions(*job.key) for job in state.jobs()]
    return State.assembled(state.index, 5, state.nodes(), versions, state.allocs()), list(state.allocs())


def test_a_live_cluster_goes_on_from_what_runs_there() -> None:
    state, allocs = settled(make_world(), make_job(count=6, cpu=700))
    world = World(state)
    report = simulate(world, [make_job("new", count=6, cpu=400)])
    [group] = report.groups
    assert (group.placed, group.missing) == (0, 6)
    assert {alloc.id for alloc in allocs} <= {alloc.id for alloc in world.state.allocs()}


def test_a_loss_alone_is_simulated_on_a_live_cluster() -> None:
    state, _ = settled(make_world(), make_job(count=6, cpu=300))
    report = simulate(World(state), [], lose=["meta.rack=r3"])
    assert report.groups == () and report.loss is not None and report.fits
    assert {group.job_id for group in report.loss.groups} == {"web"}


def test_a_changed_job_rolls_over_all_its_allocations() -> None:
    state, allocs = settled(make_world(), make_job(count=4))
    world = World(state)
    report = simulate(world, [make_job(count=4, cpu=150)])
    [group] = report.groups
    assert (group.placed, group.missing) == (4, 0)
    live = [alloc for alloc in world.state.allocs() if not alloc.terminal]
    assert {alloc.job_version for alloc in live} == {1}
    assert not {alloc.id for alloc in live} & {alloc.id for alloc in allocs}
    assert sum(node.cpu_used for node in report.usage) == 4 * 150


def test_an_unchanged_job_changes_nothing() -> None:
    state, allocs = settled(make_world(), make_job(count=4))
    report = simulate(World(state), [make_job(count=4)])
    [group] = report.groups
    assert {each.name for each in group.placements if each.fresh} == set()
    assert group.annotation.ignore == 4


def test_a_job_that_the_servers_would_refuse_is_refused() -> None:
    state, _ = settled(make_world(), make_job(count=1))
    with pytest.raises(InvalidInput):
        simulate(World(state), [make_job(count=1, type_="batch")])


def test_the_same_input_and_seed_give_the_same_answer() -> None:
    jobs = [make_job(f"job-{n}", count=3, cpu=130) for n in range(8)]

    def run(seed: int) -> bytes:
        kinds = kinds_in(BOTH)
        return msgspec.json.encode(simulate(make_world(BOTH, seed), jobs, lose=["small-02"], kinds=kinds))

    assert run(3) == run(3)
    assert run(3) != run(4)
