"""Host volumes beyond plain static ones: numbered, dynamic, of a mode, sticky. Nodes come from records here."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from daemon.model.enums import JobType
from daemon.model.job import VolumeRequest
from daemon.model.node import HostVolume
from daemon.model.plan import Attempt
from daemon.model.volume import DynamicVolume, VolumeClaim, VolumeWriter
from tests.scheduler.fleetkit import MiniWorld, make_group, make_job, make_node

SINGLE = ("single-node-single-writer", "file-system")
PLAIN = ("single-node-writer", "file-system")


def volume(on: str, name: str = "d", **facts: Any) -> DynamicVolume:
    facts.setdefault("capabilities", (PLAIN, SINGLE, ("single-node-reader-only", "file-system")))
    return DynamicVolume(id=f"vol-{on}-{name}", name=name, node_id=f"node-{on}", **facts)


def asking(count: int = 1, **facts: Any) -> Any:
    request = VolumeRequest(**{"name": "v", "source": "d", **facts})
    return make_job(make_group(count=count, volumes={"v": request}))


def where(attempt: Attempt) -> list[str]:
    plan = attempt.plan
    rows = [block.row(row) for block in plan.blocks for row in range(block.count)]
    return sorted(alloc.node_id for alloc in (*rows, *plan.allocs))


def lack(attempt: Attempt) -> dict[str, int]:
    return attempt.evaluation.failed_tg_allocs["web"].constraint_filtered


@pytest.mark.parametrize(
    ("made", "asked", "reason"),
    [
        ({}, {}, ""),
        ({}, {"read_only": True}, ""),
        ({}, {"access_mode": SINGLE[0]}, ""),
        ({"state": "pending"}, {}, 'host volume "d" is not ready'),
        ({"name": "e"}, {}, 'missing host volume "d"'),
        ({"capabilities": (SINGLE,)}, {}, 'host volume "d" is not for single-node-writer, file-system'),
        (
            {"capabilities": (PLAIN,)},
            {"read_only": True},
            'host volume "d" is not for single-node-reader-only, file-system',
        ),
        (
            {},
            {"attachment_mode": "block-device"},
            'host volume "d" is not for single-node-writer, block-device',
        ),
    ],
)
def test_a_dynamic_volume_is_ready_and_of_the_mode_asked_for(
    made: dict[str, Any], asked: dict[str, Any], reason: str
) -> None:
    w = MiniWorld([make_node("a"), make_node("b")])
    attempt = w.run(asking(**asked), volumes=(volume("b", **made),))
    assert where(attempt) == ([] if reason else ["node-b"])
    if reason:
        assert reason in lack(attempt)
        assert attempt.evaluation.failed_tg_allocs["web"].nearest_miss is not None


def test_fe10_a_single_writer_keeps_other_groups_out() -> None:
    other = VolumeWriter(namespace="default", job_id="other", task_group="db")
    single = {"access_mode": SINGLE[0]}
    for asked, writer, count in (
        (single, other, 0),
        ({"read_only": True}, other, 1),
        ({}, other, 1),
        ({}, replace(other, exclusive=True), 0),
        (single, replace(other, job_id="job", task_group="web"), 1),
    ):
        w = MiniWorld([make_node("a"), make_node("b")])
        attempt = w.run(asking(**asked), volumes=(volume("a"),), writers={"vol-a-d": (writer,)})
        assert len(where(attempt)) == count, (asked, writer)
        if not count:
            assert lack(attempt)['host volume "d" has another writer'] == 1


def test_fe11_a_replacement_goes_to_the_claimed_volume_and_an_extra_one_anywhere() -> None:
    nodes = [make_node(name) for name in "abc"]
    volumes = (volume("a"), volume("b"), volume("c"))
    for held in "abc":
        w = MiniWorld(nodes)
        claim = VolumeClaim(
            namespace="default", job_id="job", task_group="web", volume_id=f"vol-{held}-d", alloc_id="gone"
        )
        facts = {"volumes": volumes, "claims": (claim,)}
        first = w.run(asking(sticky=True), **facts)
        assert where(first) == [f"node-{held}"]
        w = MiniWorld([make_node(name, cpu=700) for name in "abc"])
        both = w.run(asking(2, sticky=True), **facts)
        assert len(where(both)) == 2
        assert f"node-{held}" in where(both)


def test_without_its_node_a_claim_keeps_the_group_waiting() -> None:
    claim = VolumeClaim(
        namespace="default", job_id="job", task_group="web", volume_id="vol-a-d", alloc_id="gone"
    )
    w = MiniWorld([make_node("a", cpu=100), make_node("b")])
    attempt = w.run(asking(sticky=True), volumes=(volume("a"), volume("b")), claims=(claim,))
    assert where(attempt) == []
    assert 'claimed sticky volume "d" is elsewhere' in lack(attempt)


def test_an_update_goes_to_the_volume_that_its_predecessor_claimed() -> None:
    w = MiniWorld([make_node(name) for name in "abc"])
    volumes = (volume("a"), volume("b"), volume("c"))
    w.run(asking(3, sticky=True), volumes=volumes)
    # each claim is on another node than its allocation, so that nothing else leads there.
    other = {"node-a": "b", "node-b": "c", "node-c": "a"}
    claims = tuple(
        VolumeClaim(
            namespace="default",
            job_id="job",
            task_group="web",
            volume_id=f"vol-{other[alloc.node_id]}-d",
            alloc_id=alloc.id,
        )
        for alloc in w.live()
    )
    before = {alloc.id: alloc.node_id for alloc in w.live()}
    newer = replace(asking(3, sticky=True), version=1, job_modify_index=20)
    group = newer.task_groups[0]
    changed = replace(group, update=None, tasks=(replace(group.tasks[0], env={"a": "b"}),))
    newer = replace(newer, task_groups=(changed,), type=JobType.BATCH)
    attempt = w.run(newer, volumes=volumes, claims=claims)
    assert len(attempt.plan.allocs) == 3
    for alloc in attempt.plan.allocs:
        assert alloc.node_id == f"node-{other[before[alloc.previous_allocation]]}"


def test_a_static_volume_is_not_for_sticky_use() -> None:
    static = {"d": HostVolume(name="d", path="/d")}
    w = MiniWorld([make_node("a", host_volumes=static)])
    attempt = w.run(asking(sticky=True))
    assert where(attempt) == []
    assert lack(attempt) == {'host volume "d" is static, not for sticky use': 1}


@pytest.mark.parametrize("static", [True, False])
def test_each_allocation_gets_the_volume_of_its_number(static: bool) -> None:
    names = {"a": "d[1]", "b": "d[0]", "c": "d", "e": "d[7]"}
    nodes = [
        make_node(on, host_volumes={name: HostVolume(name=name, path="/d")} if static else {})
        for on, name in names.items()
    ]
    volumes = () if static else tuple(volume(on, name) for on, name in names.items())
    w = MiniWorld(nodes)
    attempt = w.run(asking(3, per_alloc=True), volumes=volumes)
    assert {alloc.index: alloc.node_id for alloc in attempt.plan.allocs} == {0: "node-b", 1: "node-a"}
    assert 'missing host volume "d[2]"' in lack(attempt)
