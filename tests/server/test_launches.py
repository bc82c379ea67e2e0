"""Periodic jobs and dispatches on a whole server role in memory, with a wall clock that the test sets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from daemon.model.base import NS_PER_S
from daemon.model.enums import ClientStatus, JobStatus, JobType
from daemon.model.errors import EncampError, InvalidInput
from daemon.model.job import Job
from daemon.model.payload import PAYLOAD_BYTES_MAX, unpack_payload
from daemon.model.policies import ParameterizedConfig, PeriodicConfig, ReschedulePolicy
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.server.context import Clock
from daemon.server.server import Server, ServerConfig
from tests.server.serverkit import Kit, make_job

NOON = int(datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC).timestamp())
MINUTE_S = 60


class Wall:
    """A wall clock that stands still until it is set."""

    def __init__(self, now_s: float = NOON) -> None:
        self.now_s = now_s

    def __call__(self) -> int:
        return int(self.now_s * NS_PER_S)


async def timed_kit(wall: Wall, data_dir: Path | None = None) -> Kit:
    kit = Kit()
    kit.server = Server(ServerConfig(data_dir=data_dir), clock=Clock(wall))
    return await kit.start()


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
async def timed(wall: Wall) -> AsyncIterator[Kit]:
    kit = await timed_kit(wall)
    yield kit
    await kit.close()


def cron(id_: str = "cron", spec: str = "* * * * *", **changes: object) -> Job:
    config = PeriodicConfig(specs=(spec,), **changes)  # type: ignore[arg-type]
    return make_job(id_, type=JobType.BATCH, periodic=config)


def children(kit: Kit, parent: str) -> list[Job]:
    jobs = kit.server.context.state.jobs_from(children=True)
    return [job for job in jobs if job.parent_id == parent]


def runs(kit: Kit, parent: str = "cron") -> list[tuple[str, str]]:
    row = kit.server.context.state.launches("default", parent)
    assert row is not None
    return [(run.job_id, run.outcome) for run in row.runs]


async def ticked(kit: Kit, wall: Wall, seconds: float) -> None:
    """Move the wall clock, and wait until the launcher has nothing due."""
    wall.now_s += seconds
    state = kit.server.context.state
    now = int(wall.now_s * NS_PER_S)

    def settled() -> bool:
        rows = [state.launches("default", job.id) for job in state.jobs() if job.periodic and not job.stop]
        return all(row is not None and row.next_ns > now for row in rows)

    await kit.until("the launcher to catch up", settled)


async def test_a_periodic_job_is_launched_and_never_run_itself(timed: Kit, wall: Wall) -> None:
    node = await timed.node()
    answer = await timed.run(cron())
    assert answer.eval_id == ""
    job = await timed.call(methods.JOB_GET, m.IdQuery(id="cron"))
    assert job.job.status == JobStatus.RUNNING
    assert job.next_launch_ns == (NOON + 30) * NS_PER_S
    await ticked(timed, wall, 30)
    (child,) = children(timed, "cron")
    assert child.id == f"cron/periodic-{NOON + 30}"
    assert child.periodic is None
    alloc = (await timed.until("its allocation", lambda: timed.live(child.id)))[0]
    assert timed.allocs("cron") == []
    assert runs(timed) == [(child.id, "")]
    await timed.report(node, alloc, ClientStatus.RUNNING)
    await timed.report(node, alloc, ClientStatus.COMPLETE)
    await timed.until("the run to end", lambda: runs(timed) == [(child.id, "complete")])
    shown = await timed.call(methods.JOB_GET, m.IdQuery(id="cron"))
    assert shown.children == m.JobChildren(dead=1)
    assert shown.next_launch_ns == (NOON + 90) * NS_PER_S


async def test_a_failed_launch_is_in_the_history(timed: Kit, wall: Wall) -> None:
    node = await timed.node()
    job = cron()
    policy = ReschedulePolicy(attempts=0, unlimited=False)
    group = msgspec.structs.replace(job.task_groups[0], reschedule_policy=policy)
    await timed.run(msgspec.structs.replace(job, task_groups=(group,)))
    await ticked(timed, wall, 30)
    child = children(timed, "cron")[0]
    alloc = (await timed.until("its allocation", lambda: timed.live(child.id)))[0]
    await timed.report(node, alloc, ClientStatus.FAILED, exit_code=1)
    await timed.until("the run to fail", lambda: dict(runs(timed))[child.id] == "failed")


@pytest.mark.parametrize("prohibited", [True, False])
async def test_pd1_overlap_is_checked_against_children_that_live(
    timed: Kit, wall: Wall, prohibited: bool
) -> None:
    await timed.node()
    await timed.run(cron(prohibit_overlap=prohibited))
    await ticked(timed, wall, MINUTE_S)
    assert len(children(timed, "cron")) == 1
    await ticked(timed, wall, MINUTE_S)
    assert len(children(timed, "cron")) == (1 if prohibited else 2)
    assert [outcome for _, outcome in runs(timed)] == (["skipped", ""] if prohibited else ["", ""])
    # by hand it is launched in any case
    forced = await timed.call(methods.PERIODIC_FORCE, m.PeriodicForceRequest(job_id="cron"))
    assert forced.job_id in [job.id for job in children(timed, "cron")]


@pytest.mark.parametrize(("missed", "made"), [("once", 1), ("all", 2), ("skip", 0)])
async def test_pd2_missed_launches_are_made_up_for_once(tmp_path: Path, missed: str, made: int) -> None:
    wall = Wall()
    kit = await timed_kit(wall, tmp_path)
    await kit.run(cron(spec="0 * * * *", missed=missed))
    await kit.run(cron("later", spec="0 23 * * *"))
    await kit.close()
    wall.now_s += 2 * 3600 + 300
    kit = await timed_kit(wall, tmp_path)
    try:
        await ticked(kit, wall, 0)
        hour = NOON - 30 + 3600
        due = [f"cron/periodic-{hour}", f"cron/periodic-{hour + 3600}"]
        assert [job.id for job in children(kit, "cron")] == due[2 - made :]
        assert children(kit, "later") == []
        row = kit.server.context.state.launches("default", "cron")
        assert row is not None and row.next_ns == (hour + 7200) * NS_PER_S
        assert (row.runs[0].outcome == "skipped") == (missed == "skip")
    finally:
        await kit.close()


async def test_a_clock_that_steps_back_launches_nothing_twice(tmp_path: Path) -> None:
    wall = Wall()
    kit = await timed_kit(wall, tmp_path)
    await kit.run(cron())
    await ticked(kit, wall, 30)
    await kit.close()
    wall.now_s -= 120
    kit = await timed_kit(wall, tmp_path)
    try:
        wall.now_s += 121
        await ticked(kit, wall, 0)
        assert len(children(kit, "cron")) == 1
        await ticked(kit, wall, MINUTE_S)
        assert len(children(kit, "cron")) == 2
    finally:
        await kit.close()


async def test_forcing_twice_in_a_second_is_one_child(timed: Kit) -> None:
    await timed.run(cron(enabled=False))
    one = await timed.call(methods.PERIODIC_FORCE, m.PeriodicForceRequest(job_id="cron"))
    two = await timed.call(methods.PERIODIC_FORCE, m.PeriodicForceRequest(job_id="cron"))
    assert one.job_id == two.job_id
    assert (one.existing, two.existing) == (False, True)
    await timed.run(make_job("web"))
    with pytest.raises(InvalidInput, match="not periodic"):
        await timed.call(methods.PERIODIC_FORCE, m.PeriodicForceRequest(job_id="web"))


async def test_stopping_a_periodic_job_stops_its_launches_only(timed: Kit, wall: Wall) -> None:
    await timed.node()
    await timed.run(cron())
    await ticked(timed, wall, 30)
    answer = await timed.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id="cron"))
    assert answer.eval_id == ""
    wall.now_s += 300
    await timed.run(make_job("other"))
    row = timed.server.context.state.launches("default", "cron")
    assert row is not None and row.next_ns == 0
    (child,) = children(timed, "cron")
    assert not child.stop
    assert len(await timed.until("the child's allocation", lambda: timed.live(child.id))) == 1
    # started again it looks forward, not back
    await timed.run(cron())
    row = timed.server.context.state.launches("default", "cron")
    assert row is not None and row.next_ns > int(wall.now_s * NS_PER_S)


# ---- dispatch ----


def encoder(**changes: object) -> Job:
    config = {"payload": "optional", "meta_required": ("format",), "meta_optional": ("speed",), **changes}
    return make_job("encode", type=JobType.BATCH, parameterized_job=ParameterizedConfig(**config))  # type: ignore[arg-type]


async def dispatch(kit: Kit, **fields: object) -> m.JobDispatchResponse:
    request = m.JobDispatchRequest(**{"job_id": "encode", "meta": {"format": "mp4"}, **fields})  # type: ignore[arg-type]
    return await kit.call(methods.JOB_DISPATCH, request)


async def test_a_dispatched_child_carries_payload_meta_and_priority(timed: Kit) -> None:
    await timed.node()
    await timed.run(encoder())
    answer = await dispatch(
        timed, payload=b"x" * PAYLOAD_BYTES_MAX, priority=70, id_prefix_template="big", meta={"format": "a"}
    )
    assert answer.dispatched_job_id.startswith(f"encode/dispatch-big-{NOON}-")
    child = timed.server.context.state.job("default", answer.dispatched_job_id)
    assert child is not None
    assert (child.dispatched, child.priority, child.meta, child.parent_id) == (
        True,
        70,
        {"format": "a"},
        "encode",
    )
    assert unpack_payload(child.payload) == b"x" * PAYLOAD_BYTES_MAX
    assert len(child.payload) < 200
    assert await timed.settled(answer.eval_id)
    assert len(timed.live(child.id)) == 1
    listed = await timed.call(methods.JOB_LIST, m.JobListRequest())
    assert [(stub.id, stub.children) for stub in listed.jobs] == [("encode", m.JobChildren(running=1))]
    listed = await timed.call(methods.JOB_LIST, m.JobListRequest(parent="encode"))
    assert [stub.id for stub in listed.jobs] == [child.id]


@pytest.mark.parametrize(
    ("config", "fields", "words"),
    [
        ({"payload": "forbidden"}, {"payload": b"x"}, "takes no payload"),
        ({"payload": "required"}, {}, "needs a payload"),
        ({}, {"payload": b"x" * 16385}, "16385 bytes"),
        ({}, {"meta": {}}, "missing meta: format"),
        ({}, {"meta": {"format": "a", "sped": "b"}}, "does not take: sped"),
        ({}, {"priority": 101}, "priority"),
        ({}, {"id_prefix_template": "a b"}, "prefix"),
    ],
)
async def test_pd4_a_dispatch_that_does_not_fit_is_refused(
    timed: Kit, config: dict[str, object], fields: dict[str, object], words: str
) -> None:
    await timed.run(encoder(**config))
    with pytest.raises(EncampError, match=words):
        await dispatch(timed, **fields)
    assert children(timed, "encode") == []


async def test_pd5_the_same_token_gives_the_same_child(timed: Kit) -> None:
    await timed.node()
    await timed.run(encoder())
    one = await dispatch(timed, idempotency_token="once")
    two = await dispatch(timed, idempotency_token="once")
    other = await dispatch(timed, idempotency_token="twice")
    assert one.dispatched_job_id == two.dispatched_job_id != other.dispatched_job_id
    assert (two.existing, two.eval_id) == (True, one.eval_id)
    # a child that is over still answers, one that is forgotten does not
    child = one.dispatched_job_id
    await timed.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id=child))
    assert (await dispatch(timed, idempotency_token="once")).dispatched_job_id == child
    await timed.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id=child, purge=True))
    assert (await dispatch(timed, idempotency_token="once")).dispatched_job_id != child


async def test_a_stopped_parent_takes_no_dispatch(timed: Kit) -> None:
    await timed.run(encoder())
    await timed.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id="encode"))
    with pytest.raises(InvalidInput, match="stopped"):
        await dispatch(timed)


async def test_a_job_that_is_both_is_launched_by_its_dispatched_child(timed: Kit, wall: Wall) -> None:
    job = msgspec.structs.replace(encoder(), periodic=PeriodicConfig(specs=("* * * * *",)))
    await timed.run(job)
    answer = await dispatch(timed)
    assert answer.eval_id == ""
    child = answer.dispatched_job_id
    wall.now_s += 30
    await timed.until("the grandchild", lambda: children(timed, child))
    assert children(timed, child)[0].meta == {"format": "mp4"}


async def test_jobs_are_listed_in_order_page_by_page(timed: Kit) -> None:
    names = [f"job-{number:03d}" for number in range(40)]
    for name in reversed(names):
        await timed.run(make_job(name))
    await timed.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id="job-007", purge=True))
    names.remove("job-007")
    found: list[str] = []
    token = ""
    while True:
        page = await timed.call(
            methods.JOB_LIST, m.JobListRequest(per_page=7, next_token=token, prefix="job-")
        )
        found += [stub.id for stub in page.jobs]
        token = page.next_token
        if not token:
            break
    assert found == names
