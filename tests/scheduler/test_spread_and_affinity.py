"""Affinities and spread blocks: the worked numbers and what comes of them on a fleet."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from daemon.model.job import Job
from daemon.model.policies import Affinity, Spread, SpreadTarget
from daemon.scheduler.spread import Spreads, even_boost
from tests.scheduler.fleetkit import MiniWorld, make_fleet, make_group, make_job, make_node, make_task

DC = "${node.datacenter}"


def target_spread(weight: int = 50, **percents: int) -> Spread:
    """Targets as datacenters."""
    targets = tuple(SpreadTarget(value=value, percent=percent) for value, percent in percents.items())
    return Spread(attribute=DC, weight=weight, spread_target=targets)


def boosts(
    spread: tuple[Spread, ...], used: dict[str, int], count: int, **dcs: str | None
) -> dict[str, float]:
    """Node name -> boost, with `used` allocations on these nodes."""
    nodes = [
        make_node(name, datacenter=dc or "dc1", meta={} if dc is None else {"dc": dc})
        for name, dc in dcs.items()
    ]
    fleet = make_fleet(nodes)
    spreads = Spreads(fleet, spread, "web", count)
    w = MiniWorld(nodes)
    from daemon.scheduler.working import Working

    working = Working(w.tracker.fleet, ())
    for name, number in used.items():
        for _ in range(number):
            working.place(fleet.row_of[f"node-{name}"], "web", (0, 0, 0, 1), ())
    table = spreads.boosts(spreads.counts(working))
    return {name: float(table[spreads.combo[fleet.row_of[f"node-{name}"]]]) for name in dcs}


def test_rk5_a_target_and_the_rest() -> None:
    assert boosts((target_spread(dc1=80),), {"a": 2}, 10, a="dc1", b="dc2") == pytest.approx(
        {"a": 0.625, "b": 0.5}
    )


def test_rk6_a_value_that_nobody_asked_for_and_a_missing_one() -> None:
    found = boosts((target_spread(dc1=80, dc2=20),), {}, 10, a="dc1", b="dc2", c="dc3")
    assert found["c"] == -1.0
    by_meta = Spread(attribute="${meta.dc}", spread_target=target_spread(dc1=80, dc2=20).spread_target)
    assert boosts((by_meta,), {}, 10, a="dc1", b=None)["b"] == -1.0
    assert boosts((Spread(attribute="${meta.dc}"),), {}, 10, a="dc1", b=None) == {"a": 0.0, "b": -1.0}


@pytest.mark.parametrize(
    ("count", "least", "most", "expected"),
    [
        (0, 0, 0, 0.0),
        (0, 1, 1, 1.0),
        (1, 1, 1, -1.0),
        (1, 1, 2, 1.0),
        (2, 1, 2, -1.0),
        (4, 2, 4, -1.0),
        (2, 2, 5, 1.5),
        (0, 1, 3, 3.0),
    ],
)
def test_even_boosts(count: int, least: int, most: int, expected: float) -> None:
    assert even_boost(count, least, most) == expected


def test_a_target_of_nothing_is_never_better_than_the_worst_of_the_others() -> None:
    found = boosts((target_spread(dc1=0, dc2=50),), {"b": 12}, 10, a="dc1", b="dc2", c="dc3")
    assert found["b"] == pytest.approx(-1.6)
    assert found["a"] == found["b"] and found["c"] > 0


def test_blocks_are_weighed_against_each_other_and_summed() -> None:
    blocks = (target_spread(weight=75, dc1=100), target_spread(weight=25, dc2=100))
    # dc1: 0.9 * 0.75 - 1 (dc2's block wants no other value); dc2 the other way round.
    assert boosts(blocks, {}, 10, a="dc1", b="dc2") == pytest.approx({"a": -0.325, "b": -0.775})


def _world(nodes: int = 10) -> MiniWorld:
    return MiniWorld(
        [make_node(str(i), datacenter=f"dc{i % 2 + 1}", cpu=40_000, memory=80_000) for i in range(nodes)]
    )


def _by_dc(w: MiniWorld) -> Counter[str]:
    return Counter(w.nodes[alloc.node_id].datacenter for alloc in w.live())


def test_rk8_an_even_spread_over_two_datacenters() -> None:
    w = _world()
    w.run(make_job(make_group(count=10, spreads=(Spread(attribute=DC),))))
    assert _by_dc(w) == {"dc1": 5, "dc2": 5}


@pytest.mark.parametrize("p", range(1, 11))
def test_rk8_targets_are_met_exactly(p: int) -> None:
    w = _world()
    spread = target_spread(dc1=10 * p, dc2=100 - 10 * p)
    w.run(make_job(make_group(count=10, spreads=(spread,))))
    assert _by_dc(w)["dc1"] == p and sum(_by_dc(w).values()) == 10


def test_a_rolled_out_change_of_the_spread_ends_where_it_should() -> None:
    """Predecessors that are being replaced do not count, though they run until their successors do."""
    w = _world()
    job = make_job(make_group(count=10, spreads=(target_spread(dc1=100),)))
    w.run(job)
    assert _by_dc(w) == {"dc1": 10}
    group = make_group(count=10, cpu=600, spreads=(target_spread(dc1=50, dc2=50),))
    changed: Job = msgspec.structs.replace(job, version=1, job_modify_index=20, task_groups=(group,))
    w.run(changed)
    assert _by_dc(w) == {"dc1": 5, "dc2": 5}


def test_a_lost_value_is_filled_up_again() -> None:
    w = _world()
    job = make_job(make_group(count=10, spreads=(Spread(attribute=DC),)))
    w.run(job)
    for alloc in w.live()[:3]:
        w.change(alloc.id, desired_status="stop", client_status="complete")
    w.run(job)
    assert _by_dc(w) == {"dc1": 5, "dc2": 5}


def test_job_and_group_blocks_count_together_and_each_group_for_itself() -> None:
    w = _world()
    groups = (make_group("a", 4, spreads=(Spread(attribute=DC),)), make_group("b", 6))
    w.run(make_job(*groups, spreads=(target_spread(dc1=50, dc2=50),)))
    for name, half in (("a", 2), ("b", 3)):
        where = Counter(w.nodes[x.node_id].datacenter for x in w.live() if x.task_group == name)
        assert where == {"dc1": half, "dc2": half}


def _affinity(**facts: Any) -> Affinity:
    return Affinity(**({"l_target": "${meta.rack}", "r_target": "r1"} | facts))


def test_affinities_of_job_group_and_task_are_one_part_of_the_score() -> None:
    nodes = [make_node(str(i), meta={"rack": f"r{i}"}) for i in range(3)]
    w = MiniWorld(nodes)
    task = make_task(affinities=(_affinity(r_target="r0", weight=-25),))
    group = make_group(tasks=(task,), affinities=(_affinity(weight=50),))
    [block] = w.run(make_job(group, affinities=(_affinity(weight=25),))).plan.blocks
    assert block.metrics is not None
    parts = {score.node_id: score.scores for score in block.metrics.score_meta_data}
    assert [parts[f"node-{i}"]["node-affinity"] for i in range(3)] == [-0.25, 0.75, 0.0]
    for score in block.metrics.score_meta_data:
        assert score.norm_score == pytest.approx(sum(score.scores.values()) / 2)
    assert w.live()[0].node_id == "node-1"


def test_recent_failures_are_a_part_of_the_score_and_only_where_there_are_any() -> None:
    w = MiniWorld([make_node("0", cpu=1000), make_node("1", cpu=4000)])
    [block] = w.run(make_job(make_group(count=1)), failures={"node-0": 0.5, "gone": 1.0}).plan.blocks
    assert block.metrics is not None
    parts = {score.node_id: score.scores for score in block.metrics.score_meta_data}
    assert {node_id: part["recent-failures"] for node_id, part in parts.items()} == {
        "node-0": -0.5,
        "node-1": 0.0,
    }
    assert w.live()[0].node_id == "node-1"
    v = MiniWorld([make_node("0", cpu=1000), make_node("1", cpu=4000)])
    [block] = v.run(make_job(make_group(count=1)), failures={"gone": 1.0}).plan.blocks
    assert block.metrics is not None
    assert all("recent-failures" not in score.scores for score in block.metrics.score_meta_data)
    assert v.live()[0].node_id == "node-0"


def test_an_affinity_is_a_wish_not_a_rule() -> None:
    w = MiniWorld([make_node("0", meta={"rack": "r0"})])
    w.run(make_job(make_group(affinities=(_affinity(weight=100),))))
    assert len(w.live()) == 1


def test_the_boost_is_shown_unless_it_is_nothing() -> None:
    w = _world()
    attempt = w.run(make_job(make_group(count=2, spreads=(target_spread(dc1=100),))))
    metrics = attempt.plan.blocks[0].metrics
    assert metrics is not None
    first = metrics.score_meta_data[0]
    assert first.scores["allocation-spread"] == pytest.approx(0.5)
    w = _world()
    attempt = w.run(make_job(make_group(count=2, spreads=(Spread(attribute=DC),))))
    metrics = attempt.plan.blocks[0].metrics
    assert metrics is not None and set(metrics.score_meta_data[0].scores) == {"binpack"}


def test_a_heavily_scaled_down_group_keeps_its_order() -> None:
    """Scores far below the usual range neither overflow nor beat others."""
    w = _world(2)
    job = make_job(make_group(count=40, spreads=()))
    w.run(job)
    w.all_running()
    small = msgspec.structs.replace(
        job, version=1, job_modify_index=20, task_groups=(make_group(count=1, cpu=600),)
    )
    w.run(small)
    assert len(w.live()) == 1
