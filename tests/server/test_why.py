"""`job why`: the right reason, in plain words, in each situation."""

from __future__ import annotations

import time

import msgspec
import pytest

from daemon.model.enums import ClientStatus, Eligibility, JobType
from daemon.model.job import VolumeMount, VolumeRequest
from daemon.model.node import DriverInfo, HostVolume, NodeResources
from daemon.model.policies import Constraint, ReschedulePolicy
from daemon.model.resources import Network, Port, Resources
from daemon.model.scopes import NodePool
from daemon.model.tasks import EventType, TaskEvent
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.state.commands import NodePoolUpsert
from tests.server.serverkit import Kit, make_job, make_node


async def words(kit: Kit, job_id: str = "web") -> str:
    answer = await kit.why(job_id)
    lines = [answer.headline, *(line for group in answer.groups for line in group.lines)]
    return "\n".join(lines)


async def test_no_node_at_all(kit: Kit) -> None:
    await kit.run_and_settle(make_job())
    said = await words(kit)
    assert "no node has joined" in said
    assert "1 missing" in said


async def test_wrong_datacenter(kit: Kit) -> None:
    await kit.node(datacenter="dc2")
    await kit.run_and_settle(make_job(datacenters=("dc1",)))
    assert '"dc1"' in await words(kit)


async def test_wrong_pool(kit: Kit) -> None:
    await kit.node()
    await kit.server.propose(NodePoolUpsert(time_ns=1, pool=NodePool(name="gpu")))
    await kit.run_and_settle(make_job(node_pool="gpu"))
    assert '"gpu"' in await words(kit)


async def test_a_constraint_removes_all(kit: Kit) -> None:
    await kit.node("n1")
    await kit.node("n2")
    arm = Constraint(l_target="${attr.cpu.arch}", r_target="arm64")
    await kit.run_and_settle(make_job(constraints=(arm,)))
    said = await words(kit)
    assert "${attr.cpu.arch} = arm64" in said and "2 nodes" in said


async def test_a_missing_driver(kit: Kit) -> None:
    await kit.node(drivers={})
    await kit.run_and_settle(make_job())
    assert "mock_driver" in await words(kit)


async def test_an_unhealthy_driver(kit: Kit) -> None:
    sick = DriverInfo(detected=True, healthy=False, health_description="engine down")
    await kit.node(drivers={"mock_driver": sick})
    await kit.run_and_settle(make_job())
    said = await words(kit)
    assert "mock_driver" in said and "healthy" in said


@pytest.mark.parametrize(
    ("ask", "dimension", "figure"),
    [
        (Resources(cpu=5000, memory_mb=64), "cpu", "4000"),
        (Resources(cpu=100, memory_mb=9000), "memory", "4096"),
    ],
)
async def test_too_large_for_every_node(kit: Kit, ask: Resources, dimension: str, figure: str) -> None:
    await kit.node()
    await kit.run_and_settle(make_job(task={"resources": ask}))
    said = await words(kit)
    assert dimension in said.lower()
    assert figure in said, said


async def test_a_static_port_that_is_taken(kit: Kit) -> None:
    await kit.node()
    port = {"networks": (Network(reserved_ports=(Port(label="http", value=8080),)),)}
    await kit.run_and_settle(make_job("first", group=port))
    await kit.run_and_settle(make_job("web", group=port))
    assert "8080" in await words(kit)


async def test_distinct_hosts_with_too_few_nodes(kit: Kit) -> None:
    await kit.node()
    distinct = Constraint(operand="distinct_hosts", r_target="true")
    await kit.run_and_settle(make_job(count=2, constraints=(distinct,)))
    assert "distinct_hosts" in await words(kit)


async def test_a_volume_that_no_node_offers(kit: Kit) -> None:
    await kit.node()
    volume = {"volumes": {"data": VolumeRequest(name="data", source="data")}}
    mount = {"volume_mounts": (VolumeMount(volume="data", destination="/data"),)}
    await kit.run_and_settle(make_job(group=volume, task=mount))
    assert "data" in await words(kit)


async def test_a_volume_that_is_read_only(kit: Kit) -> None:
    await kit.node(host_volumes={"data": HostVolume(name="data", path="/srv", read_only=True)})
    volume = {"volumes": {"data": VolumeRequest(name="data", source="data")}}
    mount = {"volume_mounts": (VolumeMount(volume="data", destination="/data"),)}
    await kit.run_and_settle(make_job(group=volume, task=mount))
    said = await words(kit)
    assert "data" in said and "read" in said


async def test_the_only_node_is_ineligible(kit: Kit) -> None:
    node = await kit.node()
    request = m.NodeEligibilityRequest(node_id=node.id, eligibility=Eligibility.INELIGIBLE.value)
    await kit.call(methods.NODE_ELIGIBILITY, request)
    await kit.run_and_settle(make_job())
    assert "ineligible" in await words(kit)


async def test_disk_is_short(kit: Kit) -> None:
    small = NodeResources(cpu_shares=4000, memory_mb=4096, disk_mb=10)
    await kit.node(node_resources=small)
    await kit.run_and_settle(make_job())
    assert "disk" in await words(kit)


async def test_a_task_that_cannot_start(kit: Kit) -> None:
    node = await kit.node()
    never = ReschedulePolicy(unlimited=False, attempts=0, interval_ns=0)
    await kit.run_and_settle(make_job(group={"reschedule_policy": never}))
    [alloc] = kit.live("web")
    event = TaskEvent(
        type=EventType.DRIVER_FAILURE, time_ns=time.time_ns(), display_message="command not found: nginx"
    )
    await kit.report(node, alloc, ClientStatus.FAILED, event=event)
    said = await words(kit)
    assert "command not found: nginx" in said
    assert "does not replace it" in said


async def test_a_placed_task_that_has_not_started(kit: Kit) -> None:
    await kit.node()
    await kit.run_and_settle(make_job())
    said = await words(kit)
    assert "not started yet" in said and "web.g[0]" in said


async def test_all_is_well(kit: Kit) -> None:
    node = await kit.node()
    await kit.run_and_settle(make_job())
    [alloc] = kit.live("web")
    await kit.report(node, alloc, ClientStatus.RUNNING)
    answer = await kit.why("web")
    assert answer.ok and "1 running" in answer.headline
    assert answer.groups[0].lines == ()


async def test_a_stopped_job(kit: Kit) -> None:
    await kit.node()
    await kit.run_and_settle(make_job())
    stopped = await kit.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id="web"))
    await kit.settled(stopped.eval_id)
    assert "stopped" in await words(kit)


async def test_a_system_job_that_no_node_can_run(kit: Kit) -> None:
    await kit.node(drivers={})
    job = make_job(type=JobType.SYSTEM, group={"reschedule_policy": None})
    await kit.run_and_settle(job)
    assert "mock_driver" in await words(kit)


async def test_a_suggestion_names_one_change_that_would_place_it(kit: Kit) -> None:
    node = make_node(node_resources=NodeResources(cpu_shares=4000, memory_mb=1900, disk_mb=9000))
    await kit.node("n1", node_resources=node.node_resources)
    await kit.run_and_settle(make_job(task={"resources": Resources(cpu=100, memory_mb=4096)}))
    answer = await kit.why("web")
    metric = answer.groups[0].metric
    assert metric is not None
    assert any("1900" in suggestion for suggestion in metric.suggestions), metric.suggestions
    # and it is true: with that change it is placed
    job = make_job(task={"resources": Resources(cpu=100, memory_mb=1900)})
    evaluation = await kit.run_and_settle(msgspec.structs.replace(job))
    assert not evaluation.failed_tg_allocs
