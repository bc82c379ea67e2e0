"""Every choice of the scheduler against a brute-force twin: packing, limits, affinities, spread blocks."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.model.job import Job
from daemon.model.node import Node
from daemon.model.plan import EvalInput
from daemon.model.policies import Affinity, Constraint, Spread, SpreadTarget
from daemon.model.resources import Network, Port
from daemon.model.scheduler_config import SchedulerConfig
from daemon.scheduler.ids import Ids
from daemon.scheduler.place import Placer
from daemon.scheduler.schedule import schedule
from tests.scheduler.fleetkit import make_eval, make_fleet, make_group, make_job, make_node
from tests.scheduler.placementtwin import Twin

NODES = st.lists(
    st.tuples(
        st.integers(300, 4000),
        st.integers(200, 4000),
        st.integers(20, 900),
        st.integers(0, 3),
        st.sampled_from(["a", "b", "c", None]),
    ),
    min_size=1,
    max_size=9,
)
RULES = {
    "": (),
    "hosts": (Constraint(operand="distinct_hosts"),),
    "racks": (Constraint(operand="distinct_property", l_target="${meta.rack}", r_target="2"),),
}
_WEIGHTS = st.integers(-100, 100).filter(bool)
AFFINITIES = st.lists(
    st.builds(
        Affinity,
        l_target=st.sampled_from(["${meta.rack}", "${meta.zone}"]),
        r_target=st.sampled_from(["r0", "r1", "a", "b"]),
        operand=st.sampled_from(["=", "!="]),
        weight=_WEIGHTS,
    ),
    max_size=3,
)
#: number of a node -> how much the job's failures there count.
FAILURES = st.dictionaries(st.integers(0, 8), st.floats(0.02, 1.0), max_size=4)


@st.composite
def _spread(draw: st.DrawFn) -> Spread:
    attribute = draw(st.sampled_from(["${meta.rack}", "${meta.zone}", "${meta.host}"]))
    values = draw(st.lists(st.sampled_from(["r0", "r1", "a", "b", "0"]), max_size=3, unique=True))
    left, targets = 100, []
    for value in values:
        percent = draw(st.integers(0, left))
        left -= percent
        targets.append(SpreadTarget(value=value, percent=percent))
    return Spread(attribute=attribute, weight=draw(st.integers(1, 100)), spread_target=tuple(targets))


def _nodes(drawn: list[tuple[int, int, int, int, str | None]]) -> list[Node]:
    return [
        make_node(
            str(i),
            cpu=c,
            memory=m,
            disk=d,
            meta={"rack": f"r{r}", "host": str(i)} | ({"zone": zone} if zone else {}),
            port_range=(20000, 20000 + r),
        )
        for i, (c, m, d, r, zone) in enumerate(drawn)
    ]


def _failures(nodes: list[Node], failed: dict[int, float], job: Job) -> dict[str, float]:
    """Of nodes that are there. Beside affinities none: the worst sums, below -2, rank as one where a job spreads."""
    group = job.task_groups[0]
    if job.affinities or group.affinities:
        return {}
    return {nodes[i].id: worth for i, worth in failed.items() if i < len(nodes)}


@settings(max_examples=250, deadline=None)
@given(
    NODES,
    st.integers(1, 14),
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.sampled_from(["", "", "hosts", "racks"]),
    st.integers(0, 2),
    st.tuples(AFFINITIES, AFFINITIES),
    st.lists(_spread(), max_size=3),
    st.booleans(),
    st.integers(0, 5),
    FAILURES,
)
def test_every_choice_is_the_best_by_brute_force(
    drawn: list[tuple[int, int, int, int, str | None]],
    count: int,
    ask: tuple[int, int],
    rule: str,
    ports: int,
    affinities: tuple[list[Affinity], list[Affinity]],
    spreads: list[Spread],
    loose: bool,
    seed: int,
    failed: dict[int, float],
) -> None:
    network = (Network(dynamic_ports=tuple(Port(label=f"p{i}") for i in range(ports))),) if ports else ()
    nodes = _nodes(drawn)
    group = make_group(
        count=count,
        cpu=ask[0],
        memory=ask[1],
        networks=network,
        affinities=tuple(affinities[1]),
        spreads=tuple(spreads[1:]),
    )
    job = make_job(
        group, constraints=RULES[rule], affinities=tuple(affinities[0]), spreads=tuple(spreads[:1])
    )
    config = SchedulerConfig(scheduler_algorithm="spread" if loose else "binpack")
    failures = _failures(nodes, failed, job)
    input_ = EvalInput(evaluation=make_eval(job), job=job, seed=seed, config=config, failures=failures)
    attempt = schedule(input_, make_fleet(nodes))
    chosen = [block.row(i).node_id for block in attempt.plan.blocks for i in range(block.count)]
    Twin(nodes, job, loose, failures).check(chosen)
    assert attempt.evaluation.queued_allocations["web"] == count - len(chosen)


@settings(max_examples=150, deadline=None)
@given(
    NODES,
    st.integers(1, 12),
    AFFINITIES,
    st.lists(_spread(), max_size=2),
    st.booleans(),
    FAILURES,
)
@example(
    [(300, 200, 20, 0, "a")] * 3 + [(300, 200, 100, 0, "a"), (300, 200, 100, 1, "a")],
    1,
    [],
    [Spread(attribute="${meta.rack}", weight=1, spread_target=(SpreadTarget(value="r0", percent=1),))],
    False,
    {},
)
def test_one_by_one_and_in_bulk_are_the_same_choice(
    drawn: list[tuple[int, int, int, int, str | None]],
    count: int,
    affinities: list[Affinity],
    spreads: list[Spread],
    loose: bool,
    failed: dict[int, float],
) -> None:
    """Picking, placing and picking again against the twin, and the parts that are shown make up the score."""
    nodes = _nodes(drawn)
    group = make_group(count=count, cpu=200, memory=150, affinities=tuple(affinities), spreads=tuple(spreads))
    job = make_job(group)
    config = SchedulerConfig(scheduler_algorithm="spread" if loose else "binpack")
    fleet = make_fleet(nodes)
    failures = _failures(nodes, failed, job)
    input_ = EvalInput(evaluation=make_eval(job), job=job, config=config, failures=failures)
    placer = Placer(input_, job, fleet, Ids(1, "e", 1))
    ranker = placer.view(group).ranker
    twin, chosen, shown = Twin(nodes, job, loose, failures), [], Twin(nodes, job, loose, failures)
    for _ in range(count):
        row = ranker.pick()
        assert ranker.best_rows(1) == ([row] if row >= 0 else [])
        if row < 0:
            break
        [parts] = ranker.parts([row])
        node = next(node for node in nodes if node.id == fleet.ids[row])
        assert abs(sum(parts.values()) / len(parts) - shown.score(node)) < 1e-6
        shown.place(node.id)
        chosen.append(node.id)
        placer.working.place(row, group.name, ranker.ask, ())
        ranker.changed(row)
    twin.check(chosen)
