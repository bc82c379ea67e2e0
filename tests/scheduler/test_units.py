"""Devices and reserved cores: which nodes serve, what is given, what it is worth, and why not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from daemon.evaluation.plan_check import check_plan
from daemon.model.enums import JobType
from daemon.model.job import Job
from daemon.model.node import DeviceInstance, Node, NodeDevice, NodeReserved
from daemon.model.plan import Attempt, EvalInput
from daemon.model.policies import Affinity, Constraint, Spread
from daemon.model.resources import DeviceRequest, Resources
from daemon.scheduler.device_values import device_holds
from daemon.scheduler.schedule import schedule
from daemon.state.fleet import Fleet
from daemon.state.node_class import computed_class
from daemon.state.units import units_of
from tests.scheduler.fleetkit import (
    MiniWorld,
    make_eval,
    make_fleet,
    make_group,
    make_job,
    make_node,
    make_task,
)


def gpus(count: int, *, name: str = "t4", sick: int = 0, **attributes: str) -> NodeDevice:
    instances = tuple(DeviceInstance(id=f"{name}-{i}", healthy=i >= sick) for i in range(count))
    return NodeDevice(vendor="nvidia", type="gpu", name=name, attributes=attributes, instances=instances)


def machine(
    name: str, *devices: NodeDevice, cores: int = 0, kept: tuple[int, ...] = (), cpu: int = 4000
) -> Node:
    node = make_node(name, cpu=cpu, reserved=NodeReserved(cores=kept))
    return replace(node, node_resources=replace(node.node_resources, devices=devices, total_cores=cores))


def asking(*requests: DeviceRequest, count: int = 1, cores: int = 0, **facts: Any) -> Job:
    resources = Resources(cpu=0 if cores else 100, cores=cores, memory_mb=10, devices=requests)
    return make_job(make_group(count=count, tasks=(make_task(resources=resources),)), **facts)


def attempt(job: Job, fleet: Fleet) -> Attempt:
    return schedule(EvalInput(evaluation=make_eval(job), job=job, allocs=(), nodes=(), now_ns=1), fleet)


def placed(job: Job, *nodes: Node) -> list[tuple[str, tuple[str, ...]]]:
    found = attempt(job, make_fleet(nodes))
    assert not found.plan.blocks, "what is given by the piece is nobody else's"
    return sorted((alloc.node_id, units_of(alloc)) for alloc in found.plan.allocs)


def lacks(job: Job, *nodes: Node) -> tuple[str, ...]:
    [metric] = attempt(job, make_fleet(nodes)).evaluation.failed_tg_allocs.values()
    assert metric.nearest_miss is not None
    return metric.nearest_miss.lacks


def test_fe14_a_node_with_too_few_healthy_instances_is_filtered() -> None:
    job = asking(DeviceRequest(name="nvidia/gpu", count=2))
    assert placed(job, machine("a", gpus(2, sick=1)), machine("b", gpus(2))) == [
        ("node-b", ("nvidia/gpu/t4:t4-0", "nvidia/gpu/t4:t4-1"))
    ]
    assert lacks(job, machine("a", gpus(2, sick=1))) == ("it has 1 healthy nvidia/gpu, 2 are needed",)


@pytest.mark.parametrize(
    ("name", "fits"),
    [("gpu", True), ("nvidia/gpu", True), ("nvidia/gpu/t4", True), ("amd/gpu", False), ("fpga", False)]
    + [("nvidia/gpu/a100", False), ("nvidia", False)],
)
def test_a_request_names_type_vendor_and_model(name: str, fits: bool) -> None:
    assert bool(placed(asking(DeviceRequest(name=name)), machine("a", gpus(1)))) is fits


def test_all_instances_of_a_request_come_from_one_group() -> None:
    job = asking(DeviceRequest(name="gpu", count=2))
    assert placed(job, machine("a", gpus(1), gpus(1, name="p4"))) == []
    assert placed(job, machine("a", gpus(1), gpus(2, name="p4"))) == [
        ("node-a", ("nvidia/gpu/p4:p4-0", "nvidia/gpu/p4:p4-1"))
    ]


def test_a_request_that_can_choose_leaves_the_only_group_of_another() -> None:
    job = asking(DeviceRequest(name="gpu"), DeviceRequest(name="nvidia/gpu/p4"))
    [(_, units)] = placed(job, machine("a", gpus(1, name="p4"), gpus(1)))
    assert units == ("nvidia/gpu/t4:t4-0", "nvidia/gpu/p4:p4-0")
    assert placed(job, machine("a", gpus(1, name="p4"))) == []


def test_an_instance_is_given_once_and_the_rest_is_explained() -> None:
    job = asking(DeviceRequest(name="gpu"), count=3)
    found = attempt(job, make_fleet([machine("a", gpus(2))]))
    assert sorted(unit for alloc in found.plan.allocs for unit in units_of(alloc)) == [
        "nvidia/gpu/t4:t4-0",
        "nvidia/gpu/t4:t4-1",
    ]
    [metric] = found.evaluation.failed_tg_allocs.values()
    assert metric.nearest_miss is not None
    assert metric.nearest_miss.lacks == ("0 of its 2 healthy gpu are free, 1 are needed",)
    assert metric.dimension_exhausted == {"devices": 1}


def test_device_affinities_are_a_part_of_the_score() -> None:
    fast = Affinity(l_target="${device.attr.clock}", operand=">=", r_target="1.5 GHz", weight=50)
    model = Affinity(l_target="${device.model}", operand="=", r_target="p4", weight=-50)
    job = asking(DeviceRequest(name="gpu", affinities=(fast, model)))
    nodes = [machine("a", gpus(1, clock="900 MHz")), machine("b", gpus(1, clock="1600 MHz"))]
    fleet = make_fleet(nodes)
    [alloc] = attempt(job, fleet).plan.allocs
    assert alloc.node_id == "node-b"
    assert alloc.metrics is not None
    parts = {score.node_id: score.scores["devices"] for score in alloc.metrics.score_meta_data}
    assert parts == {"node-a": 0.0, "node-b": 0.5}
    # of several groups of one node the preferred one is given
    assert placed(job, machine("c", gpus(1, name="p4", clock="2 GHz"), gpus(1, clock="2 GHz"))) == [
        ("node-c", ("nvidia/gpu/t4:t4-0",))
    ]


@pytest.mark.parametrize(
    ("left", "operand", "right", "truth"),
    [
        ("${device.attr.memory}", ">=", "8 GiB", True),
        ("${device.attr.memory}", ">=", "16 GiB", False),
        ("${device.attr.memory}", "=", "11264 MiB", True),
        ("${device.attr.memory}", "<", "12 GB", True),
        ("${device.attr.memory}", ">", "1 GHz", False),
        ("${device.attr.memory}", "!=", "1 GHz", False),
        ("${device.attr.memory}", "!=", "12 GiB", True),
        ("${device.attr.memory}", ">", "much", False),
        ("${device.attr.memory}", ">", "5", False),
        ("${device.attr.none}", "!=", "x", True),
        ("${device.attr.none}", "!=", "${device.attr.nor}", False),
        ("${device.attr.none}", "is_not_set", "", True),
        ("${device.attr.driver}", "version", ">= 1.2", True),
        ("${device.model}", "=", "t4", True),
        ("${device.vendor}", "regexp", "^nv", True),
        ("${device.ids}", "set_contains", "t4-1", True),
        ("${node.class}", "=", "x", False),
    ],
)
def test_attributes_of_devices_are_compared_with_their_units(
    left: str, operand: str, right: str, truth: bool
) -> None:
    assert device_holds(gpus(2, memory="11 GiB", driver="1.4.0"), left, operand, right) is truth


def test_devices_but_not_their_instances_are_part_of_the_computed_class() -> None:
    one, two = machine("a", gpus(1, memory="1 GiB")), machine("b", gpus(2, memory="1 GiB"))
    assert computed_class(one) == computed_class(two)
    assert computed_class(one) != computed_class(machine("c", gpus(1, memory="2 GiB")))
    assert computed_class(one) != computed_class(machine("d"))


def test_constraints_of_a_request_choose_among_groups() -> None:
    rule = Constraint(l_target="${device.attr.memory}", operand=">", r_target="10 GiB")
    job = asking(DeviceRequest(name="gpu", constraints=(rule,)))
    small, large = gpus(1, memory="4 GiB"), gpus(1, name="a100", memory="40960 MiB")
    assert placed(job, machine("a", small), machine("b", small, large)) == [
        ("node-b", ("nvidia/gpu/a100:a100-0",))
    ]
    assert lacks(job, machine("a", small)) == (
        "it has 0 healthy gpu that match the constraints, 1 are needed",
    )


def test_cores_are_given_once_and_count_as_cpu() -> None:
    job = asking(count=2, cores=2)
    found = attempt(job, make_fleet([machine("a", cores=5, kept=(0,), cpu=10_000)]))
    assert sorted(alloc.allocated_resources.tasks["main"].reserved_cores for alloc in found.plan.allocs) == [
        (1, 2),
        (3, 4),
    ]
    assert {alloc.allocated_resources.usage.cpu for alloc in found.plan.allocs} == {4000}
    assert {alloc.allocated_resources.tasks["main"].cpu_shares for alloc in found.plan.allocs} == {4000}


def test_cores_have_the_numbers_of_the_machine() -> None:
    node = machine("a", cores=2, kept=(4,))
    node = replace(node, node_resources=replace(node.node_resources, core_ids=(4, 6)))
    assert placed(asking(cores=1), node) == [("node-a", ("core:6",))]
    assert placed(asking(cores=2), node) == []


def test_what_cores_lack_is_said() -> None:
    assert lacks(asking(cores=3), machine("a", cores=4, kept=(0, 1))) == (
        "it has 2 free cores of 2, 3 are needed",
    )
    found = attempt(asking(cores=2, count=2), make_fleet([machine("a", cores=3, cpu=3000)]))
    [metric] = found.evaluation.failed_tg_allocs.values()
    assert metric.nearest_miss is not None
    assert metric.nearest_miss.lacks == ("it has 1 free cores of 3, 2 are needed",)


def test_cores_do_not_push_out_the_cpu_of_others() -> None:
    busy = make_group("busy", tasks=(make_task(cpu=2500),))
    pinned = make_group("pinned", tasks=(make_task(resources=Resources(cpu=0, cores=2, memory_mb=10)),))
    found = attempt(make_job(busy, pinned), make_fleet([machine("a", cores=4, cpu=4000)]))
    assert list(found.evaluation.failed_tg_allocs) == ["pinned"]
    [lack] = found.evaluation.failed_tg_allocs["pinned"].nearest_miss.lacks  # type: ignore[union-attr]
    assert lack == "2 cores are 2000 MHz there, 1500 MHz are free"


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=5),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 8),
)
def test_as_many_are_placed_as_an_exhaustive_count_allows(
    nodes: list[tuple[int, int, int]], devices: int, cores: int, count: int
) -> None:
    machines = [
        machine(f"n{i}", gpus(t4), gpus(p4, name="p4"), cores=whole, cpu=1000 * whole + 50_000)
        for i, (t4, p4, whole) in enumerate(nodes)
    ]
    found = attempt(
        asking(DeviceRequest(name="gpu", count=devices), cores=cores, count=count), make_fleet(machines)
    )
    most = sum(min(t4 // devices + p4 // devices, whole // cores if cores else 99) for t4, p4, whole in nodes)
    held = [(alloc.node_id, unit) for alloc in found.plan.allocs for unit in units_of(alloc)]
    assert len(held) == len(set(held))
    assert len(found.plan.allocs) == min(count, most)


def test_a_system_job_is_where_the_devices_are() -> None:
    job = asking(DeviceRequest(name="gpu"), type=JobType.SYSTEM)
    nodes = [machine("a", gpus(1)), machine("b"), machine("c", gpus(2), cores=1)]
    assert placed(job, *nodes) == [
        ("node-a", ("nvidia/gpu/t4:t4-0",)),
        ("node-c", ("nvidia/gpu/t4:t4-0",)),
    ]


def test_spread_and_distinct_hosts_hold_for_what_is_given_by_the_piece() -> None:
    spread = (Spread(attribute="${node.unique.name}", weight=100),)
    fast = Affinity(l_target="${device.model}", operand="=", r_target="t4", weight=50)
    job = asking(DeviceRequest(name="gpu", affinities=(fast,)), count=2, spreads=spread)
    nodes = [machine("a", gpus(2)), machine("b", gpus(2))]
    assert [node for node, _ in placed(job, *nodes)] == ["node-a", "node-b"]
    alone = asking(cores=1, count=3, constraints=(Constraint(operand="distinct_hosts"),))
    assert len(placed(alone, machine("a", cores=4), machine("b", cores=4))) == 2


def test_an_update_takes_over_what_its_predecessor_held() -> None:
    w = MiniWorld([machine("a", gpus(1), cores=2)])
    job = asking(DeviceRequest(name="gpu"), cores=2)
    w.apply(schedule(w.input(job), w.tracker.fleet).plan)
    [before] = w.allocs.values()
    group = replace(job.task_groups[0], tasks=(replace(job.task_groups[0].tasks[0], env={"A": "b"}),))
    newer = replace(job, version=1, job_modify_index=20, task_groups=(group,))
    w.jobs[0], w.jobs[1] = job, newer
    plan = schedule(w.input(newer), w.tracker.fleet).plan
    [alloc] = plan.allocs
    assert alloc.previous_allocation == before.id
    assert units_of(alloc) == units_of(before) != ()
    assert check_plan(w.tracker, plan, w.allocs.get).result.full
    # what goes on keeps what it has
    calm = replace(job, version=1, job_modify_index=20, priority=60)
    w.jobs[1] = calm
    [kept] = schedule(w.input(calm), w.tracker.fleet).plan.in_place
    assert kept.allocated_resources == before.allocated_resources
