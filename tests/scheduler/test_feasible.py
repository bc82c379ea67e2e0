"""Constraints of every operator, drivers, volumes, distinct rules, ports."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.enums import NodeStatus
from daemon.model.job import VolumeRequest
from daemon.model.node import DriverInfo, HostVolume
from daemon.model.plan import Attempt
from daemon.model.policies import Constraint, Lifecycle
from daemon.model.resources import Network, Port, Resources
from daemon.scheduler import targets
from daemon.scheduler.ids import Ids
from daemon.scheduler.operators import holds
from daemon.scheduler.ports import PortAsk, choose_ports
from daemon.scheduler.targets import constraint_mask
from daemon.scheduler.usage import group_usage
from daemon.scheduler.working import Working
from tests.scheduler.fleetkit import MiniWorld, make_fleet, make_group, make_job, make_node, make_task

Rows = list[tuple[str, str | None, str | None, bool]]

ABSENT: Rows = [
    ("=", None, "x", False),
    ("<", None, "1", False),
    ("version", None, ">= 1", False),
    ("semver", None, ">= 1.0.0", False),
    ("regexp", None, ".*", False),
    ("set_contains", None, "x", False),
    ("set_contains_any", None, "x", False),
    ("!=", None, "x", True),
    ("!=", None, None, False),
    ("is_set", None, None, False),
    ("is_not_set", None, None, True),
    ("is_set", "", None, True),
]
ORDER: Rows = [
    (">", "10", "9", True),
    ("<", "1.5", "10.5", True),
    ("<", "bar", "foo", True),
    ("<=", "7", "7", True),
    (">=", "-3", "-2", False),
    (">", "10", "9.5", True),
    (">", "99999999999999999999", "1", True),
    ("<", "1_000", "2", True),
]
VERSIONS: Rows = [
    ("version", "1.3.0-beta1", ">= 0.6.1", False),
    ("semver", "1.3.0-beta1", ">= 0.6.1", True),
    ("version", "1.2.3", ">= 1.0, < 2", True),
    ("version", "2.0", ">= 1.0, < 2", False),
    ("version", "1.7.9", "~> 1.2", True),
    ("version", "2.0.0", "~> 1.2", False),
    ("version", "1.3.0", "~> 1.2.3", False),
    ("version", "1.2.9", "~> 1.2.3", True),
    ("version", "1.2", "= 1.2.0", True),
    ("version", "v1.2", "1.2", True),
    ("version", "1.3.0-beta2", "> 1.3.0-beta1", True),
    ("version", "4.15.0-112-generic", ">= 4.0", False),
    ("version", "junk", ">= 1", False),
    ("version", "1.0", ">= junk", False),
    ("semver", "1.3.0-beta.2", "< 1.3.0-beta.11", True),
    ("semver", "1.3.0-alpha", "< 1.3.0", True),
    ("semver", "1.0.0+build7", "= 1.0.0", True),
    ("semver", "1.2.3", "~> 1.2", False),
    ("semver", "1.2.3", "!= 1.2.4", True),
]
SETS: Rows = [
    ("set_contains", "foo,bar,baz", "foo, bar", True),
    ("set_contains_all", "foo,bar,baz", "foo,bam", False),
    ("set_contains_any", "foo,bar,baz", "bam,baz", True),
    ("set_contains_any", "foo", "bam", False),
]
OTHERS: Rows = [
    # equality and its other names
    ("=", "x", "x", True),
    ("==", "x", "y", False),
    ("is", "x", "x", True),
    ("not", "x", "y", True),
    ("!=", "x", "x", False),
    # regexp
    ("regexp", "linux-5.10", "^linux-[0-9]", True),
    ("regexp", "windows", "linux", False),
    ("regexp", "x", "(", False),
    ("regexp", "a" * 5000 + "!", "^(a+)+$", False),
    # nobody knows it
    ("near", "x", "x", False),
]


@pytest.mark.parametrize(("operand", "left", "right", "expected"), ABSENT)
def test_fe1_what_is_absent(operand: str, left: str | None, right: str | None, expected: bool) -> None:
    assert holds(operand, left, right) is expected


@pytest.mark.parametrize(("operand", "left", "right", "expected"), ORDER)
def test_fe2_numbers_before_text(operand: str, left: str | None, right: str | None, expected: bool) -> None:
    assert holds(operand, left, right) is expected


@pytest.mark.parametrize(("operand", "left", "right", "expected"), VERSIONS)
def test_fe3_loose_and_strict_versions(
    operand: str, left: str | None, right: str | None, expected: bool
) -> None:
    assert holds(operand, left, right) is expected


@pytest.mark.parametrize(("operand", "left", "right", "expected"), SETS)
def test_fe5_sets(operand: str, left: str | None, right: str | None, expected: bool) -> None:
    assert holds(operand, left, right) is expected


@pytest.mark.parametrize(("operand", "left", "right", "expected"), OTHERS)
def test_other_operators(operand: str, left: str | None, right: str | None, expected: bool) -> None:
    assert holds(operand, left, right) is expected


WORDS = st.sampled_from([None, "a", "b", "1", "2", "10", "a,b", "1.2.3"])
OPERANDS = st.sampled_from(
    ["=", "!=", "<", ">", "version", "regexp", "set_contains", "set_contains_any", "is_set", "is_not_set"]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(WORDS, WORDS), max_size=8),
    OPERANDS,
    st.sampled_from(["${attr.y}", "a", "1", "${attr.none}"]),
)
def test_masks_say_what_the_operator_says_of_each_node(
    values: list[tuple[str | None, str | None]], operand: str, right: str
) -> None:
    nodes = [
        make_node(str(i), attributes={k: v for k, v in (("x", x), ("y", y)) if v is not None})
        for i, (x, y) in enumerate(values)
    ]
    fleet = make_fleet(nodes)
    for constraint in (
        Constraint(l_target="${attr.x}", operand=operand, r_target=right),
        Constraint(l_target=right, operand=operand, r_target="${attr.x}"),
    ):
        mask = constraint_mask(fleet, constraint)

        def value(target: str, i: int) -> str | None:
            if target == "${attr.x}":
                return values[i][0]
            return {"${attr.y}": values[i][1], "${attr.none}": None}.get(target, target)

        for i in range(len(values)):
            assert mask[i] == holds(operand, value(constraint.l_target, i), value(constraint.r_target, i))


def test_cached_masks_follow_changes_of_nodes() -> None:
    w = MiniWorld([make_node("a", attributes={"x": "1"})])
    constraint = Constraint(l_target="${attr.x}", r_target="2")
    assert not constraint_mask(w.tracker.fleet, constraint)[0]
    w.set_node(make_node("a", attributes={"x": "2"}))
    assert constraint_mask(w.tracker.fleet, constraint)[0]
    w.set_node(make_node("a"))
    assert not constraint_mask(w.tracker.fleet, constraint)[0]


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("${node.unique.id}", "node-a"),
        ("${node.unique.name}", "a"),
        ("${node.datacenter}", "dc1"),
        ("${node.class}", "big"),
        ("${node.pool}", "default"),
        ("${meta.rack}", "r1"),
        ("literal", "literal"),
    ],
)
def test_targets(target: str, value: str) -> None:
    fleet = make_fleet([make_node("a", node_class="big", meta={"rack": "r1"}), make_node("b", node_class="")])
    assert constraint_mask(fleet, Constraint(l_target=target, r_target=value))[0]
    assert not constraint_mask(fleet, Constraint(l_target=target, r_target="other"))[0]
    assert not constraint_mask(fleet, Constraint(l_target="${nonsense}", r_target=value))[0]


def run(attempt: Attempt) -> list[str]:
    placed = [block.row(i).node_id for block in attempt.plan.blocks for i in range(block.count)]
    return sorted([*placed, *(alloc.node_id for alloc in attempt.plan.allocs)])


def test_datacenter_globs_and_pools() -> None:
    nodes = [
        make_node("a", datacenter="eu-1"),
        make_node("b", datacenter="us-1"),
        make_node("c", datacenter="eu-2", node_pool="gpu"),
    ]
    assert set(run(MiniWorld(nodes).run(make_job(make_group(count=5), datacenters=("eu-*",))))) == {"node-a"}
    both = make_job(make_group(count=9), datacenters=("eu-?",), node_pool="all")
    assert set(run(MiniWorld(nodes).run(both))) == {"node-a", "node-c"}


def test_fe6_an_unhealthy_driver_filters_even_with_the_attribute() -> None:
    task = make_task(driver="docker")
    sick = make_node("a", drivers={"docker": DriverInfo(detected=True)}, attributes={"driver.docker": "1"})
    by_attribute = make_node("b", attributes={"driver.docker": "1"})
    assert run(MiniWorld([sick]).run(make_job(make_group(tasks=(task,))))) == []
    assert run(MiniWorld([by_attribute]).run(make_job(make_group(tasks=(task,))))) == ["node-b"]


def test_fe7_distinct_hosts() -> None:
    nodes = [make_node("a"), make_node("b")]
    on = make_job(make_group(count=3), constraints=(Constraint(operand="distinct_hosts"),))
    assert run(MiniWorld(nodes).run(on)) == ["node-a", "node-b"]
    off = make_job(make_group(count=3), constraints=(Constraint(operand="distinct_hosts", r_target="false"),))
    assert len(run(MiniWorld(nodes).run(off))) == 3
    job = make_job(make_group("a"), make_group("b"), constraints=(Constraint(operand="distinct_hosts"),))
    assert run(MiniWorld(nodes).run(job)) == ["node-a", "node-b"]
    group = (Constraint(operand="distinct_hosts"),)
    job = make_job(make_group("a", 2, constraints=group), make_group("b", 2, constraints=group))
    assert run(MiniWorld(nodes).run(job)) == ["node-a", "node-a", "node-b", "node-b"]


def test_distinct_property_counts_existing_and_planned() -> None:
    nodes = [make_node(f"{rack}{i}", meta={"rack": rack}) for rack in ("x", "y") for i in range(3)]
    nodes.append(make_node("none"))
    rule = Constraint(operand="distinct_property", l_target="${meta.rack}", r_target="2")
    w = MiniWorld(nodes)
    w.run(make_job(make_group(count=3), constraints=(rule,)))
    job = make_job(make_group(count=7), constraints=(rule,), version=1, job_modify_index=20)
    attempt = w.run(job)
    racks = [alloc.node_id[5] for alloc in w.live()]
    assert sorted(racks) == ["x", "x", "y", "y"]
    assert attempt.evaluation.queued_allocations == {"web": 3}


def test_a_replacement_goes_nowhere_where_the_value_is_used_up() -> None:
    rule = Constraint(operand="distinct_property", l_target="${meta.rack}")
    w = MiniWorld([make_node(f"{rack}{i}", meta={"rack": rack}) for rack in "xy" for i in range(2)])
    job = make_job(make_group(count=2, constraints=(rule,)))
    w.run(job)
    victim = w.live()[0]
    rack = victim.node_id[5]
    for node in [n for n in w.nodes.values() if n.meta["rack"] == rack]:
        w.set_node(msgspec.structs.replace(node, status=NodeStatus.DOWN))
    attempt = w.run(job)
    assert len(w.live()) == 1 and attempt.evaluation.queued_allocations == {"web": 1}


def test_fe9_read_only_volumes() -> None:
    node = make_node("a", host_volumes={"d": HostVolume(name="d", path="/d", read_only=True)})
    for read_only, count in ((False, 0), (True, 1)):
        request = VolumeRequest(name="v", source="d", read_only=read_only)
        assert len(run(MiniWorld([node]).run(make_job(make_group(volumes={"v": request}))))) == count


def test_fe13_dynamic_ports_are_distinct_and_end() -> None:
    network = Network(dynamic_ports=(Port(label="a"),))
    w = MiniWorld([make_node("a", port_range=(20000, 20001))])
    attempt = w.run(make_job(make_group(count=3, networks=(network,))))
    ports = sorted(p.value for a in w.live() for p in a.allocated_resources.shared.ports)
    assert ports == [20000, 20001]
    assert attempt.evaluation.failed_tg_allocs["web"].dimension_exhausted == {"ports": 1}


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 6),
    st.lists(st.integers(19998, 20008), max_size=3, unique=True),
    st.integers(0, 3),
    st.integers(1, 5),
    st.booleans(),
)
def test_ports_are_never_given_twice(
    span: int, static: list[int], dynamic: int, count: int, collide: bool
) -> None:
    network = Network(
        reserved_ports=tuple(Port(label=f"s{v}", value=v, ignore_collision=collide) for v in static),
        dynamic_ports=tuple(Port(label=f"d{i}") for i in range(dynamic)),
    )
    w = MiniWorld(
        [make_node("a", port_range=(20000, 20000 + span)), make_node("b", port_range=(20000, 20000 + span))]
    )
    w.run(make_job(make_group(count=count, networks=(network,), cpu=1, memory=1)))
    for node in ("node-a", "node-b"):
        ports = [p for a in w.live() if a.node_id == node for p in a.allocated_resources.shared.ports]
        values = [p.value for p in ports if not p.ignore_collision]
        assert len(values) == len(set(values))
        assert all(20000 <= p.value <= 20000 + span for p in ports if not p.static)


def test_to_minus_one_is_the_host_port_and_the_address_is_given() -> None:
    w = MiniWorld([make_node("a")])
    w.run(make_job(make_group(networks=(Network(dynamic_ports=(Port(label="a", to=-1),)),))))
    [port] = w.live()[0].allocated_resources.shared.ports
    assert port.to == port.value and port.host_ip == "10.0.0.1"
    [again] = (
        choose_ports(
            Working(w.tracker.fleet, ()), 0, PortAsk(dynamic=(Port(label="a", to=-1),)), Ids(1, "", 1)
        )
        or ()
    )
    assert again.to == again.value != port.value


def test_fe17_phases_do_not_add_up() -> None:
    def task(name: str, cpu: int, hook: str = "", sidecar: bool = False) -> object:
        lifecycle = Lifecycle(hook=hook, sidecar=sidecar) if hook else None
        return make_task(name, resources=Resources(cpu=cpu, memory_mb=10), lifecycle=lifecycle)

    assert group_usage(make_group(tasks=(task("p", 1000, "prestart"), task("m", 500)))).cpu == 1000
    assert group_usage(make_group(tasks=(task("p", 100, "prestart"), task("m", 500)))).cpu == 500
    assert group_usage(make_group(tasks=(task("p", 100, "prestart", True), task("m", 500)))).cpu == 600
    assert group_usage(make_group(tasks=(task("p", 100, "poststart"), task("m", 500)))).cpu == 600
    assert group_usage(make_group(tasks=(task("p", 900, "poststop"), task("m", 500)))).cpu == 900


def test_fe15_one_check_a_class_and_the_others_of_it_are_reported_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str | None] = []

    def watched(operand: str, left: str | None, right: str | None) -> bool:
        looked.append(left)
        return holds(operand, left, right)

    monkeypatch.setattr(targets, "holds", watched)
    nodes = [make_node(str(i), attributes={"kernel.name": "linux"}) for i in range(3)]
    w = MiniWorld(nodes)
    rule = Constraint(l_target="${attr.kernel.name}", operand="set_contains", r_target="windows")
    attempt = w.run(make_job(make_group(), constraints=(rule,)))
    metric = attempt.evaluation.failed_tg_allocs["web"]
    assert looked.count("linux") == 1
    assert metric.nodes_filtered == 3 and metric.constraint_filtered == {str(rule): 3}
    assert metric.nodes_class_ineligible == 2
