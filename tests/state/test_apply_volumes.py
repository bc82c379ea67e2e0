"""Records of dynamic host volumes, and what placements do to them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from daemon.model.enums import ClientStatus
from daemon.model.errors import InvalidInput
from daemon.model.job import Job, Task, TaskGroup, VolumeRequest
from daemon.model.node import Node
from daemon.model.plan import EvalInput
from daemon.model.volume import DynamicVolume, VolumeClaim
from daemon.state import commands as c
from daemon.state.changes import PlanApplied
from daemon.state.state import State
from daemon.state.view import eval_input
from tests.state.state_factory import World, alloc, block, evaluation, plan, stop, uid


def put(w: World, *volumes: DynamicVolume) -> Any:
    return w.apply(c.VolumesPut(time_ns=1, volumes=volumes)).result


def volume(on: Node, number: int = 0, **facts: Any) -> DynamicVolume:
    capabilities = (("single-node-single-writer", "file-system"), ("single-node-writer", "file-system"))
    return DynamicVolume(
        **{"id": uid(number, 7), "name": "d", "node_id": on.id, "capabilities": capabilities, **facts}
    )


def keeper(w: World, job_id: str, **facts: Any) -> Job:
    group = TaskGroup(
        name="g",
        tasks=(Task(name="web", driver="mock_driver"),),
        volumes={"v": VolumeRequest(**{"name": "v", "source": "d", **facts})},
    )
    return w.job(job_id, task_groups=(group,))


def ended(w: World, on: Node, number: int) -> None:
    update = c.ClientUpdate(alloc_id=uid(number, 3), client_status=ClientStatus.COMPLETE)
    w.apply(c.AllocClientUpdate(time_ns=5, node_id=on.id, updates=(update,)))


def seen(w: World, job: Job) -> EvalInput:
    return eval_input(w.state, evaluation(9, job.id), 1, 1, 1)


def test_volumes_are_put_all_or_none_and_forgotten() -> None:
    w = World()
    one, two = w.node(1), w.node(2)
    for bad in (
        volume(one, 1, id=""),
        volume(one, 1, name=""),
        volume(one, 1, state="odd"),
        volume(one, 1, node_id=uid(99, 1)),
        volume(one, 1, capabilities=(("any", "file-system"),)),
        volume(two, 0),
        volume(one, 1),
    ):
        assert isinstance(put(w, volume(one, 0), bad), InvalidInput), bad
        assert w.state.volumes.all() == []
    assert put(w, volume(one, 0), volume(two, 1)) is None
    made = w.state.index
    assert put(w, volume(one, 0, state="unavailable")) is None
    [first] = [row for row in w.state.volumes.all() if row.id == uid(0, 7)]
    assert (first.create_index, first.modify_index, first.state) == (made, w.state.index, "unavailable")
    assert w.state.table_index("volumes") == w.state.index
    gone = w.apply(c.VolumesForget(time_ns=1, volume_ids=(uid(1, 7), uid(5, 7))))
    assert list(gone.dropped) == [uid(5, 7)]
    assert [row.id for row in w.state.volumes.all()] == [uid(0, 7)]


def test_the_second_group_that_writes_is_left_out_until_the_first_has_ended() -> None:
    w = World()
    on = w.node(1)
    put(w, volume(on))
    first, second = (keeper(w, name, access_mode="single-node-single-writer") for name in ("one", "two"))
    w.apply(plan(first, blocks=(block([1], [on], first),)))
    for number, parts in (
        (2, {"allocs": (alloc(2, on, second),), "on": (on,)}),
        (3, {"blocks": (block([3], [on], second, eval_id=uid(1, 2)),)}),
    ):
        changes = w.apply(plan(second, **parts))
        assert changes.result == PlanApplied(full=False, placed=0, eval_id=uid(0, 2))
        assert "writer of another group" in changes.dropped[uid(number, 3)]
    [writer] = seen(w, second).writers[uid(0, 7)]
    assert (writer.job_id, writer.task_group, writer.exclusive) == ("one", "g", True)
    # stopping is not enough: the node must say that it has ended.
    w.apply(plan(first, stops=(stop(uid(1, 3), on),)))
    assert uid(0, 7) in seen(w, second).writers
    ended(w, on, 1)
    assert not seen(w, second).writers
    assert w.apply(plan(second, allocs=(alloc(2, on, second),), on=(on,))).result.full


def test_claims_follow_placements_and_outlive_them() -> None:
    w = World()
    on = w.node(1)
    put(w, volume(on))
    job = keeper(w, "one", sticky=True)

    def claimed() -> list[str]:
        return sorted(claim.alloc_id for claim in w.state.volumes.claims("default", "one"))

    w.apply(plan(job, blocks=(block([1, 2], [on], job),)))
    assert claimed() == sorted([uid(1, 3), uid(2, 3)])
    # a successor takes its predecessor's claim over, though that still runs.
    w.apply(plan(job, allocs=(alloc(3, on, job, previous_allocation=uid(1, 3)),), on=(on,)))
    assert claimed() == sorted([uid(2, 3), uid(3, 3)])
    # a claim whose allocation has ended is met by the next one there.
    ended(w, on, 2)
    assert uid(2, 3) in claimed()
    w.apply(plan(job, allocs=(alloc(4, on, job),), on=(on,)))
    assert claimed() == sorted([uid(3, 3), uid(4, 3)])
    given = seen(w, job)
    assert [row.id for row in given.volumes] == [uid(0, 7)]
    assert len(given.claims) == 2
    restored = State.restore(w.state.snapshot().pieces())
    assert restored.volumes.all() == w.state.volumes.all()
    assert restored.volumes.claims("default", "one") == w.state.volumes.claims("default", "one")
    assert list(restored.snapshot().pieces()) == list(w.state.snapshot().pieces())
    w.apply(c.VolumesForget(time_ns=1, volume_ids=(uid(0, 7),)))
    assert claimed() == []


def test_a_purged_job_has_no_claims() -> None:
    w = World()
    on = w.node(1)
    put(w, volume(on))
    job = keeper(w, "one", sticky=True)
    w.apply(plan(job, allocs=(alloc(1, on, job),), on=(on,)))
    [claim] = w.state.volumes.claims("default", "one")
    assert claim == VolumeClaim(
        namespace="default", job_id="one", task_group="g", volume_id=uid(0, 7), alloc_id=uid(1, 3)
    )
    w.apply(c.JobDeregister(time_ns=2, namespace="default", job_id="one", purge=True))
    assert w.state.volumes.claims("default", "one") == ()


def test_volumes_of_other_namespaces_and_names_are_not_seen() -> None:
    w = World()
    on = w.node(1)
    put(w, volume(on, 0, namespace="other"), volume(on, 1, name="e"), volume(on, 2, name="d[3]"))
    assert seen(w, keeper(w, "one")).volumes == ()
    numbered = seen(w, keeper(w, "two", per_alloc=True))
    assert [row.id for row in numbered.volumes] == [uid(2, 7)]
    assert replace(numbered, volumes=()).claims == ()
