"""Devices and cores that several want: the check of plans, the fleet that follows, and preemption."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.evaluation.plan_check import check_plan
from daemon.model.enums import ClientStatus, DesiredStatus
from daemon.model.job import Job
from daemon.model.node import DeviceInstance, Node, NodeDevice
from daemon.model.plan import AllocStop, EvalInput, Neighbour, Plan
from daemon.model.resources import DeviceRequest, Resources
from daemon.model.scheduler_config import PreemptionConfig, SchedulerConfig
from daemon.scheduler.schedule import schedule
from daemon.state.fleet import Fleet
from daemon.state.units import units_of
from daemon.state.usage import usage_of
from tests.scheduler.fleetkit import MiniWorld, make_eval, make_group, make_job, make_node, make_task

PREEMPT = SchedulerConfig(preemption_config=PreemptionConfig(service_scheduler_enabled=True))


def group_of(name: str, count: int) -> NodeDevice:
    instances = tuple(DeviceInstance(id=f"{name}{i}") for i in range(count))
    return NodeDevice(vendor="nvidia", type="gpu", name=name, instances=instances)


def machine(name: str, *devices: NodeDevice, cores: int = 0) -> Node:
    node = make_node(name)
    resources = msgspec.structs.replace(node.node_resources, devices=devices, total_cores=cores)
    return msgspec.structs.replace(node, node_resources=resources)


def wanting(job_id: str, *, device: str = "", devices: int = 1, cores: int = 0, count: int = 1) -> Job:
    requests = (DeviceRequest(name=device, count=devices),) if device else ()
    resources = Resources(cpu=0 if cores else 100, cores=cores, memory_mb=10, devices=requests)
    return make_job(make_group(count=count, tasks=(make_task(resources=resources),)), id=job_id)


def plan_of(world: MiniWorld, job: Job, fleet: Fleet | None = None) -> Plan:
    evaluation = make_eval(job, id=f"eval-{job.id}")
    item = EvalInput(evaluation=evaluation, job=job, allocs=(), nodes=(), now_ns=1)
    return schedule(item, fleet or world.tracker.fleet).plan


@pytest.mark.parametrize("ask", [{"device": "gpu"}, {"cores": 2}], ids=["device", "cores"])
def test_pa8_what_is_given_by_the_piece_is_given_once(ask: dict[str, int]) -> None:
    world = MiniWorld([machine("a", group_of("t4", 1), cores=2)])
    first, second = plan_of(world, wanting("one", **ask)), plan_of(world, wanting("two", **ask))  # type: ignore[arg-type]
    assert units_of(first.allocs[0]) == units_of(second.allocs[0]) != ()
    accepted = check_plan(world.tracker, first, world.allocs.get)
    assert accepted.plan is first
    ticket = world.tracker.reserve(first)
    refused = check_plan(world.tracker, second, world.allocs.get)
    assert not refused.plan.allocs and "in use by now" in refused.result.rejected["node-a"]
    world.tracker.release(ticket)
    assert check_plan(world.tracker, second, world.allocs.get).result.full
    world.set_alloc(first.allocs[0])
    assert not check_plan(world.tracker, second, world.allocs.get).result.full


def test_a_unit_that_the_plan_frees_is_its_own() -> None:
    world = MiniWorld([machine("a", group_of("t4", 1))])
    [held] = plan_of(world, wanting("one", device="gpu")).allocs
    plan = plan_of(world, wanting("two", device="gpu"))
    world.set_alloc(held)
    stop = AllocStop(alloc_id=held.id, node_id="node-a")
    assert not check_plan(world.tracker, plan, world.allocs.get).result.full
    freeing = msgspec.structs.replace(plan, stops=(stop,))
    assert check_plan(world.tracker, freeing, world.allocs.get).result.full
    tied = msgspec.structs.replace(stop, replaced_by=plan.allocs[0].id)
    again = msgspec.structs.replace(plan, stops=(tied,))
    assert check_plan(world.tracker, again, world.allocs.get).result.full
    for_another = msgspec.structs.replace(plan, stops=(msgspec.structs.replace(tied, replaced_by="x"),))
    assert not check_plan(world.tracker, for_another, world.allocs.get).result.full


def test_pa8_one_plan_gives_a_unit_once() -> None:
    world = MiniWorld([machine("a", group_of("t4", 1))])
    plan = plan_of(world, wanting("one", device="gpu"))
    again = msgspec.structs.replace(plan.allocs[0], id="again")
    checked = check_plan(
        world.tracker, msgspec.structs.replace(plan, allocs=(*plan.allocs, again)), world.allocs.get
    )
    assert checked.plan.allocs == plan.allocs and not checked.result.full


def test_what_a_replacement_that_is_refused_would_have_freed_is_kept() -> None:
    world = MiniWorld([machine("a", group_of("t4", 1))])
    [held] = plan_of(world, wanting("one", device="gpu")).allocs
    world.set_alloc(held)
    large = msgspec.structs.replace(
        held,
        id="large",
        allocated_resources=msgspec.structs.replace(
            held.allocated_resources,
            usage=msgspec.structs.replace(usage_of(held.allocated_resources), cpu=10**6),
        ),
    )
    other = msgspec.structs.replace(held, id="other")
    plan = msgspec.structs.replace(
        plan_of(MiniWorld([machine("a", group_of("t4", 1))]), wanting("one", device="gpu")),
        allocs=(large, other),
        stops=(AllocStop(alloc_id=held.id, node_id="node-a", replaced_by="large"),),
    )
    assert not check_plan(world.tracker, plan, world.allocs.get).plan.allocs


def test_a_unit_is_free_when_the_last_of_two_holders_has_ended() -> None:
    world = MiniWorld([machine("a", group_of("t4", 1))])
    [held] = plan_of(world, wanting("one", device="gpu")).allocs
    successor = msgspec.structs.replace(held, id="successor", previous_allocation=held.id)
    world.set_alloc(msgspec.structs.replace(held, desired_status=DesiredStatus.STOP))
    world.set_alloc(successor)
    world.set_alloc(msgspec.structs.replace(successor, client_status=ClientStatus.COMPLETE))
    assert not plan_of(world, wanting("two", device="gpu")).allocs
    ended = {"desired_status": DesiredStatus.STOP, "client_status": ClientStatus.COMPLETE}
    world.set_alloc(msgspec.structs.replace(held, **ended))
    assert plan_of(world, wanting("two", device="gpu")).allocs
    assert not world.tracker.fleet.units.held


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 2), st.integers(0, 2), st.integers(1, 3), st.booleans()),
        max_size=8,
    )
)
def test_no_history_gives_a_unit_twice_and_followers_agree(
    steps: list[tuple[int, int, int, int, bool]],
) -> None:
    world = MiniWorld([machine("a", group_of("t4", 3), group_of("p4", 1), cores=4), machine("b", cores=3)])
    follower = Fleet()
    follower.apply(world.tracker.delta_since(0))
    plans = []
    for number, (kind, devices, cores, count, late) in enumerate(steps):
        if kind == 0 and world.allocs:
            victim = world.allocs[sorted(world.allocs)[number % len(world.allocs)]]
            world.set_alloc(msgspec.structs.replace(victim, client_status=ClientStatus.COMPLETE))
            continue
        device = "gpu" if kind != 2 or not cores else ""
        job = wanting(f"j{number}", device=device, devices=devices, cores=cores, count=count)
        plans.append(plan_of(world, job, follower))
        if late:
            continue
        while plans:
            plan = check_plan(world.tracker, plans.pop(), world.allocs.get).plan
            for alloc in plan.allocs:
                world.set_alloc(msgspec.structs.replace(alloc, id=f"{alloc.id}-{number}"))
        held = [(a.node_id, unit) for a in world.allocs.values() if not a.terminal for unit in units_of(a)]
        assert len(held) == len(set(held))
        follower.apply(world.tracker.delta_since(follower.sequence))
        for row in range(world.tracker.fleet.rows):
            assert follower.units.all_held(row) == world.tracker.fleet.units.all_held(row)
        assert sum(map(len, world.tracker.fleet.units.held.values())) == len(held)


def neighbour_of(world: MiniWorld, job: Job, priority: int) -> list[Neighbour]:
    found = []
    for alloc in plan_of(world, job).allocs:
        world.set_alloc(alloc)
        found.append(
            Neighbour(
                alloc_id=alloc.id,
                namespace="default",
                job_id=job.id,
                task_group="web",
                priority=priority,
                usage=usage_of(alloc.allocated_resources),
                units=units_of(alloc),
            )
        )
    return found


def pushing_out(world: MiniWorld, job: Job, held: list[Neighbour]) -> Plan:
    job = msgspec.structs.replace(job, priority=90)
    item = EvalInput(
        evaluation=make_eval(job, id="eval-high"),
        job=job,
        allocs=(),
        nodes=(),
        now_ns=1,
        config=PREEMPT,
        neighbours={"node-a": tuple(held)},
    )
    plan = schedule(item, world.tracker.fleet).plan
    assert check_plan(world.tracker, plan, world.allocs.get).result.full
    return plan


def test_pr4_the_group_of_the_smallest_sum_of_priorities_gives_its_devices() -> None:
    world = MiniWorld([machine("a", group_of("t4", 2), group_of("p4", 2))])
    held = neighbour_of(world, wanting("low", device="nvidia/gpu/t4"), 10)
    held += neighbour_of(world, wanting("lower-mid", device="nvidia/gpu/t4"), 30)
    [both] = neighbour_of(world, wanting("mid", device="nvidia/gpu/p4", devices=2), 35)
    plan = pushing_out(world, wanting("high", device="gpu", devices=2), [*held, both])
    # 10 + 30 against 35
    assert [stop.alloc_id for stop in plan.stops] == [both.alloc_id]
    assert units_of(plan.allocs[0]) == both.units
    one = pushing_out(world, wanting("high", device="gpu"), [*held, both])
    assert [stop.alloc_id for stop in one.stops] == [held[0].alloc_id]


def test_pr4_of_the_chosen_those_that_hold_most_suffice() -> None:
    world = MiniWorld([machine("a", group_of("t4", 3))])
    [one] = neighbour_of(world, wanting("one", device="gpu"), 10)
    [two] = neighbour_of(world, wanting("two", device="gpu", devices=2), 20)
    plan = pushing_out(world, wanting("high", device="gpu", devices=2), [one, two])
    assert [stop.alloc_id for stop in plan.stops] == [two.alloc_id]


def test_pr4_devices_of_the_important_stay() -> None:
    world = MiniWorld([machine("a", group_of("t4", 2))])
    neighbour_of(world, wanting("important", device="gpu", devices=2), 85)
    idle = neighbour_of(world, wanting("low"), 10)
    assert not pushing_out(world, wanting("high", device="gpu"), idle).stops


def test_cores_are_freed_like_one_group_of_devices() -> None:
    world = MiniWorld([machine("a", cores=4)])
    held = neighbour_of(world, wanting("low", cores=3), 10)
    plan = pushing_out(world, wanting("high", cores=2), held)
    assert [stop.alloc_id for stop in plan.stops] == [held[0].alloc_id]
    assert plan.allocs[0].allocated_resources.tasks["main"].reserved_cores == (0, 1)
