"""Each situation in which a job is not placed, with the sentence that a person gets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, Eligibility, EvalStatus, NodeStatus, Trigger
from daemon.model.job import Job, TaskGroup, VolumeRequest
from daemon.model.node import DrainStrategy, DriverInfo, HostVolume, Node, NodeReserved
from daemon.model.policies import Constraint, EphemeralDisk, ReschedulePolicy
from daemon.model.resources import Network, Port
from daemon.model.tasks import TaskEvent, TaskState
from daemon.scheduler.explain import explain
from tests.scheduler.fleetkit import (
    NOW,
    SECOND,
    MiniWorld,
    make_eval,
    make_group,
    make_job,
    make_node,
    make_task,
)


def words(nodes: list[Node], job: Job, *, before: Job | None = None) -> str:
    world = MiniWorld(nodes)
    if before is not None:
        world.run(before)
        kept = dict(world.allocs)
        world.allocs.clear()
        attempt = world.run(job)
        world.allocs.update(kept)
    else:
        attempt = world.run(job)
    blocked = next((e for e in attempt.new_evals if e.status == EvalStatus.BLOCKED), None)
    assert blocked is not None, "it was placed"
    return "\n".join(explain(job, attempt.evaluation, blocked=blocked, now_ns=NOW))


def hungry(**facts: Any) -> TaskGroup:
    return make_group("web", 1, **facts)


def with_driver(info: DriverInfo) -> dict[str, Any]:
    return {"drivers": {"docker": info}}


docker = make_group("web", tasks=(make_task(driver="docker"),))
arm = Constraint(l_target="${attr.cpu.arch}", r_target="arm64")
static_web = Network(reserved_ports=(Port(label="http", value=8080),))
two_dynamic = Network(dynamic_ports=(Port(label="a"), Port(label="b")))
writer = hungry(volumes={"data": VolumeRequest(name="data", source="disk1")})

SITUATIONS: list[tuple[str, list[Node], Job, list[str]]] = [
    ("no nodes", [], make_job(), ["no node has joined the cluster", "start a node"]),
    (
        "wrong datacenter",
        [make_node("a", datacenter="dc2")],
        make_job(datacenters=("dc1", "eu-*")),
        ['none of 1 node is in a datacenter matching "dc1", "eu-*"', 'change datacenters to include "dc2"'],
    ),
    (
        "wrong pool",
        [make_node("a", node_pool="gpu")],
        make_job(),
        ['none of 1 node is in node pool "default"', 'change node_pool from "default" to "gpu"'],
    ),
    (
        "constraint",
        [make_node("a", attributes={"cpu.arch": "amd64"}), make_node("b")],
        make_job(constraints=(arm,)),
        [
            "2 nodes removed: ${attr.cpu.arch} = arm64",
            '${attr.cpu.arch} is "amd64"',
            "drop or relax the constraint",
        ],
    ),
    (
        "missing driver",
        [make_node("a")],
        make_job(docker),
        ["1 node removed: missing driver docker", "it has no driver docker", "add a node with driver docker"],
    ),
    (
        "unhealthy driver",
        [make_node("a", **with_driver(DriverInfo(detected=True, healthy=False)))],
        make_job(docker),
        ["driver docker unhealthy", 'repair driver docker on node "a"'],
    ),
    (
        "cpu",
        [make_node("a", cpu=1000)],
        make_job(hungry(cpu=3000)),
        [
            "too little free CPU",
            "cpu: 1000 MHz free of 1000, 3000 needed",
            "from 3000 MHz to at most 1000 MHz",
        ],
    ),
    (
        "memory",
        [make_node("a", memory=2048), make_node("b", memory=1024)],
        make_job(hungry(memory=4096)),
        [
            "2 nodes without room: too little free memory",
            'node "a": memory: 2048 MB free of 2048, 4096 needed',
            'lower memory of group "web" from 4096 MB to at most 2048 MB (free on node "a")',
        ],
    ),
    (
        "disk",
        [make_node("a", disk=50)],
        make_job(hungry(ephemeral_disk=EphemeralDisk(size_mb=500))),
        ["too little free disk", "disk: 50 MB free of 50, 500 needed", "lower disk"],
    ),
    (
        "limit of allocations",
        [make_node("a", node_max_allocs=1)],
        make_job(make_group("web", 2)),
        ["the node's limit of allocations reached", "1 of 2 allocations found no node"],
    ),
    (
        "static port kept back",
        [make_node("a", reserved=NodeReserved(ports=(8080,)))],
        make_job(hungry(networks=(static_web,))),
        ["port 8080 in use", 'free port 8080 on node "a"'],
    ),
    (
        "static port twice",
        [make_node("a")],
        make_job(make_group("web", 2, networks=(static_web,))),
        ["1 of 2 allocations found no node", "port 8080 in use"],
    ),
    (
        "dynamic ports exhausted",
        [make_node("a", port_range=(20000, 20000))],
        make_job(hungry(networks=(two_dynamic,))),
        ["too few free dynamic ports", "it has 1 free dynamic ports, 2 are needed", "widen the range"],
    ),
    (
        "distinct_hosts",
        [make_node("a"), make_node("b")],
        make_job(make_group("web", 3), constraints=(Constraint(operand="distinct_hosts"),)),
        ["1 of 3 allocations found no node", "removed: distinct_hosts", "add a node, lower the count"],
    ),
    (
        "distinct_property",
        [make_node("a", meta={"rack": "r1"}), make_node("b", meta={"rack": "r1"})],
        make_job(
            make_group("web", 2),
            constraints=(Constraint(operand="distinct_property", l_target="${meta.rack}"),),
        ),
        ["1 of 2 allocations found no node", "distinct_property: ${meta.rack}"],
    ),
    (
        "host volume missing",
        [make_node("a")],
        make_job(writer),
        ['missing host volume "disk1"', 'offer host volume "disk1" on node "a"'],
    ),
    (
        "host volume read-only",
        [make_node("a", host_volumes={"disk1": HostVolume(name="disk1", path="/srv", read_only=True)})],
        make_job(writer),
        ['host volume "disk1" is read-only', "ask for host volume"],
    ),
    (
        "nodes take no work",
        [
            make_node("a", status=NodeStatus.DOWN),
            make_node("b", scheduling_eligibility=Eligibility.INELIGIBLE),
            make_node("c", drain_strategy=DrainStrategy()),
        ],
        make_job(),
        ["of 3 nodes there, these take no new work: 1 down, 1 draining, 1 ineligible", "would serve"],
    ),
    (
        "network mode",
        [make_node("a")],
        make_job(hungry(networks=(Network(mode="bridge"),))),
        ['network mode "bridge" missing', 'offer a network of mode "bridge"'],
    ),
    (
        "no single change",
        [make_node("a", memory=100, datacenter="dc9")],
        make_job(datacenters=("dc1",)),
        ["no single change would place it", 'it is in datacenter "dc9"'],
    ),
]


@pytest.mark.parametrize(
    ("nodes", "job", "expected"), [s[1:] for s in SITUATIONS], ids=[s[0] for s in SITUATIONS]
)
def test_situation_is_explained(nodes: list[Node], job: Job, expected: list[str]) -> None:
    said = words(nodes, job)
    for text in expected:
        assert text in said, said


def test_room_held_by_other_work_is_said() -> None:
    other = make_job(make_group("big", 1, memory=6000), id="other", priority=10)
    said = words([make_node("a")], make_job(hungry(memory=4096)), before=other)
    assert "memory: 2192 MB free of 8192, 4096 needed" in said
    assert "or free 1904 MB there: running work is not pushed out" in said


def test_stopped_and_missing_jobs() -> None:
    assert explain(None, None) == ["there is no such job"]
    assert "is stopped" in explain(make_job(stop=True), None)[0]
    assert "not been evaluated" in explain(make_job(), None)[0]


def test_waiting_evaluations() -> None:
    job = make_job()
    waiting = make_eval(job, wait_until_ns=NOW + 30 * SECOND, triggered_by=Trigger.ALLOC_RESCHEDULE)
    assert explain(job, waiting, now_ns=NOW) == [
        "the next evaluation is due in 30 s (failed work is replaced then)"
    ]
    assert "waits for a worker" in explain(job, make_eval(job), now_ns=NOW)[0]
    broken = make_eval(job, status=EvalStatus.FAILED, status_description="too many tries")
    assert explain(job, broken)[0] == "its evaluation failed: too many tries"
    fought = make_eval(job, status=EvalStatus.BLOCKED, triggered_by=Trigger.MAX_PLAN_ATTEMPTS)
    assert "every minute" in explain(job, fought)[0]


def failed_alloc(job: Job) -> Allocation:
    state = TaskState(
        failed=True, finished_at_ns=NOW, events=(TaskEvent(type="Terminated", time_ns=NOW, message="exit 7"),)
    )
    return Allocation(
        id="a1",
        name="job.web[0]",
        job_id=job.id,
        job_spec_index=10,
        task_group="web",
        node_id="node-a",
        node_name="a",
        client_status=ClientStatus.FAILED,
        task_states={"main": state},
    )


def test_failed_allocations_name_their_last_event_and_what_follows() -> None:
    done = make_eval(None, status=EvalStatus.COMPLETE)
    never = make_job()
    [line] = explain(never, done, allocs=[failed_alloc(never)], now_ns=NOW)
    assert line == 'job.web[0] failed on node "a": task "main": exit 7; its group is not rescheduled'
    later = make_job(make_group(reschedule_policy=ReschedulePolicy()))
    assert explain(later, done, allocs=[failed_alloc(later)], now_ns=NOW)[0].endswith(
        "it is replaced in 30 s"
    )
    limited = ReschedulePolicy(
        unlimited=False, attempts=1, interval_ns=1, delay_ns=5 * SECOND, delay_function="constant"
    )
    final = make_job(make_group(reschedule_policy=limited))
    assert (
        "all its reschedule attempts (1) are used up" in explain(final, done, allocs=[failed_alloc(final)])[0]
    )


def test_placed_but_not_started_and_old_versions_waiting() -> None:
    job = make_job(version=1)
    done = make_eval(None, status=EvalStatus.COMPLETE)
    pending = msgspec.structs.replace(
        failed_alloc(job), client_status=ClientStatus.PENDING, task_states={}, job_version=1
    )
    assert "which has not started it" in explain(job, done, allocs=[pending])[0]
    old = msgspec.structs.replace(pending, client_status=ClientStatus.RUNNING, job_version=0)
    assert "of an older version waiting" in explain(job, done, allocs=[old])[0]
    lost = msgspec.structs.replace(pending, client_status=ClientStatus.UNKNOWN)
    assert "out of reach" in explain(job, done, allocs=[lost])[0]


def test_nothing_to_say_when_all_is_well() -> None:
    job = make_job()
    assert explain(job, make_eval(job, status=EvalStatus.COMPLETE)) == []
