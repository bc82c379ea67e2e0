"""When workers want the same room, they keep apart; and come back when they do not."""

from __future__ import annotations

from daemon.evaluation.contention import LEAST, PLANS, Contention
from daemon.model.plan import EvalInput
from daemon.scheduler.schedule import schedule
from daemon.state.fleet import Fleet
from tests.scheduler.fleetkit import make_eval, make_fleet, make_group, make_job, make_node


def test_it_is_high_above_the_upper_bound_until_it_falls_below_the_lower_one() -> None:
    contention = Contention()
    for _ in range(LEAST - 1):
        contention.count(True)
        assert not contention.high, "a few plans say nothing"
    contention.count(True)
    assert contention.high and contention.rate == 1.0
    for _ in range(PLANS):
        contention.count(False)
    assert contention.rate == 0.0 and not contention.high
    for n in range(PLANS):
        contention.count(n % 25 == 0)
    assert 0.03 < contention.rate < 0.05 and not contention.high, "4% is no contention yet"
    for _ in range(8):
        contention.count(True)
    assert contention.high
    for n in range(PLANS):
        contention.count(n % 25 == 0)
    assert contention.high, "4% is contention still"


def nodes_taken(fleet: Fleet, count: int) -> set[str]:
    job = make_job(make_group(count=count))
    plan = schedule(EvalInput(evaluation=make_eval(job), job=job), fleet).plan
    assert plan.placements == count
    return {node for block in plan.blocks for node in block.nodes}


def test_owners_of_shares_take_different_nodes_as_long_as_those_are_nearly_as_good() -> None:
    nodes = [make_node(f"{i:02d}", cpu=4000 + i % 2) for i in range(60)]
    taken = []
    for slot in (0, 1):
        fleet = make_fleet(nodes)
        fleet.share = (slot, 2)
        taken.append(nodes_taken(fleet, 10))
    assert not taken[0] & taken[1]
    alone = make_fleet(nodes)
    both = [nodes_taken(alone, 10), nodes_taken(make_fleet(nodes), 10)]
    assert both[0] == both[1]


def test_a_much_better_node_is_taken_whoevers_it_is() -> None:
    nodes = [make_node("small", cpu=1000, memory=1024), *(make_node(str(i)) for i in range(40))]
    for slot in (0, 1):
        fleet = make_fleet(nodes)
        fleet.share = (slot, 2)
        assert nodes_taken(fleet, 1) == {"node-small"}


def test_what_does_not_fit_into_the_own_share_goes_elsewhere() -> None:
    fleet = make_fleet([make_node(str(i), cpu=600) for i in range(12)])
    fleet.share = (0, 4)
    assert len(nodes_taken(fleet, 12)) == 12
