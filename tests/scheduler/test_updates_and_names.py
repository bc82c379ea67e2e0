"""What forces a replacement and what does not; numbers of names."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.model.job import DispatchPayload, Job, Task, VolumeMount, VolumeRequest
from daemon.model.policies import (
    Constraint,
    EphemeralDisk,
    Lifecycle,
    LogRotation,
    MigrateStrategy,
    ReschedulePolicy,
    RestartPolicy,
    UpdateStrategy,
)
from daemon.model.resources import DNSConfig, Network, Port, Resources
from daemon.scheduler.names import NameIndex
from daemon.scheduler.updates import is_destructive
from tests.scheduler.fleetkit import make_group, make_job, make_task


def job(task: dict[str, Any] | None = None, group: dict[str, Any] | None = None, **facts: Any) -> Job:
    tasks: tuple[Task, ...] = (make_task(**(task or {})),)
    return make_job(make_group(**({"tasks": tasks} | (group or {}))), **facts)


def net(**facts: Any) -> dict[str, Any]:
    return {"networks": (Network(**facts),)}


DESTRUCTIVE: list[tuple[str, Job]] = [
    ("driver", job({"driver": "docker"})),
    ("user", job({"user": "nobody"})),
    ("config", job({"config": {"image": "x"}})),
    ("env", job({"env": {"A": "1"}})),
    ("cpu", job({"resources": Resources(cpu=600, memory_mb=256)})),
    ("memory", job({"resources": Resources(cpu=500, memory_mb=300)})),
    ("memory_max", job({"resources": Resources(cpu=500, memory_mb=256, memory_max_mb=512)})),
    ("cores", job({"resources": Resources(cpu=500, memory_mb=256, cores=1)})),
    ("mounts", job({"volume_mounts": (VolumeMount(volume="v", destination="/v"),)})),
    ("logging off", job({"log_config": LogRotation(disabled=True)})),
    ("hook", job({"lifecycle": Lifecycle(hook="poststart")})),
    ("payload file", job({"dispatch_payload": DispatchPayload(file="x")})),
    ("task renamed", job({"name": "other"})),
    ("task added", job(group={"tasks": (make_task(), make_task("more"))})),
    ("task meta", job({"meta": {"k": "v"}})),
    ("group meta", job(group={"meta": {"k": "v"}})),
    ("job meta", job(meta={"k": "v"})),
    ("disk", job(group={"ephemeral_disk": EphemeralDisk(size_mb=200)})),
    ("volume", job(group={"volumes": {"v": VolumeRequest(name="v")}})),
    ("network", job(group=net())),
    ("mode", job(group=net(mode="none"))),
    ("group renamed", job(group={"name": "other"})),
    ("rerender", job(group={"restart_policy": RestartPolicy(render_templates=True)})),
]
IN_PLACE: list[tuple[str, Job]] = [
    ("count", job(group={"count": 7})),
    ("priority", job(priority=90)),
    ("constraints", job(constraints=(Constraint(l_target="a", r_target="a"),))),
    ("kill timeout", job({"kill_timeout_ns": 1})),
    ("log rotation", job({"log_config": LogRotation(max_files=3)})),
    ("restart", job(group={"restart_policy": RestartPolicy(attempts=9)})),
    ("reschedule", job(group={"reschedule_policy": ReschedulePolicy()})),
    ("update", job(group={"update": UpdateStrategy()})),
    ("migrate", job(group={"migrate": MigrateStrategy()})),
    ("run time", job(group={"max_run_duration_ns": 5})),
]


@pytest.mark.parametrize("changed", [c[1] for c in DESTRUCTIVE], ids=[c[0] for c in DESTRUCTIVE])
def test_destructive(changed: Job) -> None:
    assert is_destructive(job(), changed, "web")


@pytest.mark.parametrize("changed", [c[1] for c in IN_PLACE], ids=[c[0] for c in IN_PLACE])
def test_in_place(changed: Job) -> None:
    assert not is_destructive(job(), changed, "web")


BASE = net(dynamic_ports=(Port(label="a"),), reserved_ports=(Port(label="b", value=80),))


@pytest.mark.parametrize(
    "network",
    [
        net(dynamic_ports=(Port(label="c"),), reserved_ports=(Port(label="b", value=80),)),
        net(dynamic_ports=(Port(label="a", to=80),), reserved_ports=(Port(label="b", value=80),)),
        net(dynamic_ports=(Port(label="a"),), reserved_ports=(Port(label="b", value=81),)),
        net(dynamic_ports=(Port(label="a"), Port(label="b", value=0))),
        net(hostname="h", dynamic_ports=(Port(label="a"),), reserved_ports=(Port(label="b", value=80),)),
        net(dns=DNSConfig(servers=("9.9.9.9",))),
    ],
)
def test_ports_and_names_of_a_network_are_destructive(network: dict[str, Any]) -> None:
    assert is_destructive(job(group=BASE), job(group=network), "web")


def test_meta_that_merges_to_the_same_is_no_change() -> None:
    assert not is_destructive(job(meta={"k": "v"}), job({"meta": {"k": "v"}}), "web")
    assert is_destructive(None, job(), "web")


def test_the_order_of_ports_is_no_change() -> None:
    one = net(dynamic_ports=(Port(label="a"), Port(label="b")))
    two = net(dynamic_ports=(Port(label="b"), Port(label="a")))
    assert not is_destructive(job(group=one), job(group=two), "web")


def test_names_fill_gaps_then_overlap_from_zero() -> None:
    names = NameIndex(5, {1, 3})
    assert names.take(2) == [0, 2]
    assert names.take(3) == [4, 0, 1]
    assert NameIndex(3).take(2) == [0, 1]
    assert NameIndex(2).take(3) == [0, 1, 0]


def test_a_replacement_keeps_its_number_unless_another_has_it() -> None:
    names = NameIndex(4, {0, 2})
    assert names.claim(3) == 3
    assert names.claim(2) == 1
    assert names.take(1) == [0]
