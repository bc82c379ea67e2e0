"""The server role as a whole: nodes come and go, work is placed, replaced, blocked, collected."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from daemon.evaluation.messages import Work
from daemon.evaluation.pool import WorkerHandle
from daemon.model.enums import ClientStatus, DesiredStatus, EvalStatus, JobType, NodeStatus
from daemon.model.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from daemon.model.plan import EvalInput
from daemon.model.policies import ReschedulePolicy, UpdateStrategy
from daemon.model.resources import Network, Port, Resources
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.server.collect import Ages
from daemon.server.server import ServerConfig
from tests.server.serverkit import Kit, cancelled, make_job


async def test_a_job_is_placed_and_its_node_is_told(kit: Kit) -> None:
    node = await kit.node()
    answer = await kit.call(
        methods.NODE_ALLOCS, m.NodeAllocsRequest(node_id=node.id, secret_id=node.secret_id)
    )
    waiting = asyncio.ensure_future(
        kit.call(
            methods.NODE_ALLOCS,
            m.NodeAllocsRequest(node_id=node.id, secret_id=node.secret_id, min_query_index=answer.index),
        )
    )
    registered = await kit.run(make_job(count=3))
    evaluation = await kit.settled(registered.eval_id)
    assert evaluation.placed
    news = await asyncio.wait_for(waiting, 10)
    assert len(news.allocs) == 3 and news.index > answer.index
    fetched = await kit.call(
        methods.NODE_FETCH,
        m.FetchAllocsRequest(node_id=node.id, secret_id=node.secret_id, alloc_ids=tuple(news.allocs)),
    )
    assert sorted(a.name for a in fetched.allocations) == ["web.g[0]", "web.g[1]", "web.g[2]"]
    assert [job.id for job in fetched.jobs] == ["web"]


async def test_a_nodes_own_report_does_not_wake_it(kit: Kit) -> None:
    node = await kit.node()
    await kit.run_and_settle(make_job())
    query = m.NodeAllocsRequest(node_id=node.id, secret_id=node.secret_id)
    index = (await kit.call(methods.NODE_ALLOCS, query)).index
    await kit.report(node, kit.live("web")[0], ClientStatus.RUNNING)
    assert (await kit.call(methods.NODE_ALLOCS, query)).index == index


async def test_a_wrong_secret_is_refused(kit: Kit) -> None:
    node = await kit.node()
    with pytest.raises(PermissionDenied):
        await kit.call(methods.NODE_HEARTBEAT, m.NodeHeartbeatRequest(node_id=node.id, secret_id="other"))
    with pytest.raises(PermissionDenied):
        stolen = msgspec.structs.replace(node, secret_id="other")
        await kit.call(methods.NODE_REGISTER, m.NodeRegisterRequest(node=stolen))
    shown = await kit.call(methods.NODE_GET, m.IdQuery(id=node.id))
    assert shown.node.secret_id == ""


async def test_a_silent_node_goes_down_and_its_work_moves(kit: Kit) -> None:
    one, two = await kit.node("n1"), await kit.node("n2", node_class="other")
    await kit.run_and_settle(make_job(count=1))
    [alloc] = kit.live("web")
    dead, alive = (one, two) if alloc.node_id == one.id else (two, one)
    heartbeats = kit.server.heartbeats
    heartbeats.beat(dead.id, time.monotonic() - heartbeats.expiry_s - 1)
    state = kit.server.context.state
    await kit.until("the node to be down", lambda: state.node(dead.id).status == NodeStatus.DOWN)  # type: ignore[union-attr]
    moved = await kit.until("a replacement", lambda: [a for a in kit.live("web") if a.node_id == alive.id])
    assert moved[0].name == alloc.name
    old = state.alloc(alloc.id)
    assert old is not None and old.client_status == ClientStatus.LOST
    await kit.beat(dead)
    assert state.node(dead.id).status == NodeStatus.READY  # type: ignore[union-attr]


async def test_blocked_work_is_placed_when_room_comes(kit: Kit) -> None:
    first = await kit.run_and_settle(make_job(count=2))
    assert first.status == EvalStatus.COMPLETE and not first.placed
    state = kit.server.context.state
    blocked = state.eval(first.blocked_eval)
    assert blocked is not None and blocked.status == EvalStatus.BLOCKED
    await kit.node()
    await kit.until("the work to be placed", lambda: len(kit.live("web")) == 2)
    await kit.until(
        "the blocked evaluation to end", lambda: state.eval(blocked.id).status == EvalStatus.COMPLETE
    )  # type: ignore[union-attr]


async def test_a_new_node_gets_the_system_jobs(kit: Kit) -> None:
    await kit.node("n1")
    await kit.run_and_settle(make_job("everywhere", type=JobType.SYSTEM))
    assert len(kit.live("everywhere")) == 1
    await kit.node("n2")
    await kit.until("one on the new node", lambda: len(kit.live("everywhere")) == 2)


@pytest.mark.slow
async def test_a_failed_allocation_is_replaced_after_its_delay(kit: Kit) -> None:
    node = await kit.node()
    soon = ReschedulePolicy(delay_ns=5_000_000_000, delay_function="constant", max_delay_ns=0, unlimited=True)
    await kit.run_and_settle(make_job(group={"reschedule_policy": soon}))
    [alloc] = kit.live("web")
    failed_at = time.time()
    await kit.report(node, alloc, ClientStatus.FAILED, exit_code=1)
    [after] = await kit.until("the replacement", lambda: kit.live("web"))
    assert after.previous_allocation == alloc.id
    assert time.time() - failed_at >= 4.5
    assert after.reschedule_tracker is not None and len(after.reschedule_tracker.events) == 1


async def test_a_rolling_update_waits_for_health(kit: Kit) -> None:
    node = await kit.node()
    update = {"update": UpdateStrategy(max_parallel=1, min_healthy_time_ns=1)}
    await kit.run_and_settle(make_job(count=3, group=update))
    for alloc in kit.live("web"):
        await kit.report(node, alloc, ClientStatus.RUNNING, healthy=True)
    changed = make_job(count=3, group=update, task={"env": {"A": "1"}})
    await kit.run_and_settle(changed)

    def new() -> list[object]:
        return [a for a in kit.live("web") if a.job_version == 1]

    for step in (1, 2, 3):
        await kit.until(f"{step} new ones", lambda step=step: len(new()) == step)
        assert len(kit.live("web")) == 3
        for alloc in kit.live("web"):
            if alloc.job_version == 1 and alloc.deployment_status is None:
                await kit.report(node, alloc, ClientStatus.RUNNING, healthy=True)


async def test_a_batch_job_runs_once(kit: Kit) -> None:
    node = await kit.node()
    job = make_job("once", type=JobType.BATCH)
    await kit.run_and_settle(job)
    [alloc] = kit.live("once")
    await kit.report(node, alloc, ClientStatus.COMPLETE)
    state = kit.server.context.state
    await kit.until("the job to be dead", lambda: state.job("default", "once").status == "dead")  # type: ignore[union-attr]
    again = await kit.run_and_settle(job)
    assert again.placed and [a.id for a in kit.allocs("once")] == [alloc.id]


async def test_the_check_index_guards_a_job(kit: Kit) -> None:
    await kit.run(make_job())
    with pytest.raises(Conflict, match="job already exists"):
        request = m.JobRegisterRequest(job=make_job(), enforce_index=True, job_modify_index=0)
        await kit.call(methods.JOB_REGISTER, request)


async def test_a_bad_job_is_refused_whole_with_all_its_faults(kit: Kit) -> None:
    bad = make_job(task={"resources": Resources(cpu=0, memory_mb=1)}, priority=101)
    with pytest.raises(InvalidInput) as caught:
        await kit.run(bad)
    assert len(caught.value.details["problems"]) >= 3
    with pytest.raises(NotFound):
        await kit.call(methods.JOB_GET, m.IdQuery(id="web"))


async def test_the_type_of_a_job_cannot_change(kit: Kit) -> None:
    await kit.run(make_job())
    with pytest.raises(InvalidInput, match="cannot become batch"):
        await kit.run(make_job(type=JobType.BATCH))


async def test_a_dry_run_writes_nothing_and_says_what_would_happen(kit: Kit) -> None:
    await kit.node()
    index = kit.server.context.state.index
    plan = await kit.call(methods.JOB_PLAN, m.JobPlanRequest(job=make_job(count=2)))
    assert plan.annotations["g"].place == 2
    assert plan.diff is not None and plan.diff["Type"] == "Added"
    assert kit.server.context.state.index == index
    await kit.run_and_settle(make_job(count=2))
    same = await kit.call(methods.JOB_PLAN, m.JobPlanRequest(job=make_job(count=2)))
    assert same.annotations["g"].ignore == 2 and same.annotations["g"].place == 0
    huge = make_job(task={"resources": Resources(cpu=100, memory_mb=99_999)})
    failing = await kit.call(methods.JOB_PLAN, m.JobPlanRequest(job=huge))
    assert "g" in failing.failed_tg_allocs
    assert any("memory" in line for line in failing.explanations["g"])


async def test_stopping_an_allocation_replaces_it(kit: Kit) -> None:
    await kit.node()
    await kit.run_and_settle(make_job())
    [alloc] = kit.live("web")
    answer = await kit.call(methods.ALLOC_STOP, m.AllocStopRequest(id=alloc.id[:8]))
    await kit.settled(answer.eval_id)
    [after] = kit.live("web")
    assert after.id != alloc.id and after.name == alloc.name


async def test_purge_forgets_all_of_a_job(kit: Kit) -> None:
    node = await kit.node()
    await kit.run_and_settle(make_job())
    stopped = await kit.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id="web", purge=True))
    assert stopped.eval_id
    query = m.NodeAllocsRequest(node_id=node.id, secret_id=node.secret_id)
    assert (await kit.call(methods.NODE_ALLOCS, query)).allocs == {}
    assert kit.allocs("web") == []


async def test_collection_forgets_what_is_over_and_keeps_the_rest(kit: Kit) -> None:
    node = await kit.node()
    await kit.run_and_settle(make_job("gone"))
    await kit.run_and_settle(make_job("stays"))
    stopped = await kit.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id="gone"))
    await kit.settled(stopped.eval_id)
    [alloc] = kit.allocs("gone")
    assert alloc.desired_status == DesiredStatus.STOP
    await kit.server.collect(Ages.now())
    assert kit.allocs("gone") == []  # the node has not said that it ended, but nothing refers to it any more
    await kit.report(node, alloc, ClientStatus.COMPLETE)
    await kit.server.collect(Ages.now())
    state = kit.server.context.state
    assert state.job("default", "gone") is None
    assert state.job("default", "stays") is not None and len(kit.live("stays")) == 1


async def test_ports_of_one_node_are_never_given_twice(kit: Kit) -> None:
    await kit.node()
    net = {"networks": (Network(dynamic_ports=(Port(label="a"), Port(label="b"))),)}
    await asyncio.gather(*(kit.run(make_job(f"j{n}", count=5, group=net)) for n in range(8)))
    await kit.until("all to be placed", lambda: sum(len(kit.live(f"j{n}")) for n in range(8)) == 40)
    ports = [p.value for n in range(8) for a in kit.live(f"j{n}") for p in a.allocated_resources.shared.ports]
    assert len(ports) == 80 == len(set(ports))


@pytest.mark.slow
async def test_a_killed_worker_is_replaced_and_its_evaluation_done(kit: Kit) -> None:
    await kit.node()
    await kit.run_and_settle(make_job("first"))
    pool = kit.server.evaluation.pool
    [worker] = pool.workers.values()
    os.kill(worker.process.pid, signal.SIGSTOP)
    registered = await kit.run(make_job("second"))
    await kit.until("the worker to hold it", lambda: registered.eval_id in worker.busy)
    os.kill(worker.process.pid, signal.SIGKILL)
    evaluation = await kit.settled(registered.eval_id)
    assert evaluation.placed and pool.replaced == 1


@pytest.mark.slow
async def test_small_evaluations_travel_together_and_after_a_death_apart(kit: Kit) -> None:
    await kit.node()
    await kit.run_and_settle(make_job("first"))
    service = kit.server.evaluation
    [worker] = service.pool.workers.values()
    os.kill(worker.process.pid, signal.SIGSTOP)
    runs = await asyncio.gather(*(kit.run(make_job(f"small-{n}")) for n in range(24)))
    await kit.until("the worker to hold many", lambda: len(worker.busy) > worker.messages == 2)
    held = set(worker.busy)
    os.kill(worker.process.pid, signal.SIGKILL)
    mixed: list[set[str]] = []
    send = service.pool.send

    def watched(worker: WorkerHandle, items: Sequence[EvalInput], *, dry_run: bool = False) -> None:
        names = {item.evaluation.id for item in items}
        if names & held and len(names) > 1:
            mixed.append(names)
        send(worker, items, dry_run=dry_run)

    service.pool.send = watched  # type: ignore[method-assign]
    for run in runs:
        assert (await kit.settled(run.eval_id)).placed
    assert not mixed, "an evaluation that may have killed its worker travelled with others"


@pytest.mark.slow
async def test_workers_in_each_others_way_are_told_to_keep_apart() -> None:
    kit = await Kit(ServerConfig(data_dir=None, workers=2)).start()
    try:
        await kit.node()
        service = kit.server.evaluation
        await kit.until("both workers", lambda: sum(w.ready for w in service.pool.workers.values()) == 2)
        shares: list[tuple[int, int]] = []
        post = service.pool._post

        def watched(worker: WorkerHandle, work: Work) -> None:
            shares.append(work.share)
            post(worker, work)

        service.pool._post = watched  # type: ignore[method-assign]
        await kit.run_and_settle(make_job("calm"))
        assert set(shares) == {(0, 1)}
        for _ in range(100):
            service.commits.contention.count(True)
        shares.clear()
        await kit.run_and_settle(make_job("crowded"))
        assert shares and {each[1] for each in shares} == {2}
    finally:
        await kit.close()


@pytest.mark.slow
async def test_a_hanging_worker_is_killed_and_its_evaluation_done() -> None:
    kit = await Kit(ServerConfig(data_dir=None, hang_s=0.5)).start()
    try:
        await kit.node()
        await kit.run_and_settle(make_job("first"))
        [worker] = kit.server.evaluation.pool.workers.values()
        os.kill(worker.process.pid, signal.SIGSTOP)
        evaluation = await kit.run_and_settle(make_job("second"))
        assert evaluation.placed
    finally:
        await kit.close()


async def test_the_state_is_there_after_a_restart(tmp_path: Path) -> None:
    kit = await Kit(ServerConfig(data_dir=tmp_path)).start()
    node = await kit.node()
    await kit.run_and_settle(make_job(count=4))
    ids = {alloc.id for alloc in kit.live("web")}
    cluster = kit.server.context.state.cluster_id
    await kit.close()
    again = await Kit(ServerConfig(data_dir=tmp_path)).start()
    try:
        assert {alloc.id for alloc in again.live("web")} == ids
        assert again.server.context.state.cluster_id == cluster
        assert again.server.heartbeats.expired(time.monotonic()) == []
        await again.beat(node)
        await again.run_and_settle(make_job("more", count=2))
        assert len(again.live("more")) == 2
    finally:
        await again.close()


async def test_a_blocking_read_waits_for_its_object(kit: Kit) -> None:
    registered = await kit.run(make_job())
    first = await kit.call(methods.JOB_GET, m.IdQuery(id="web"))
    waiting = asyncio.ensure_future(
        kit.call(methods.JOB_LIST, m.Query(min_query_index=first.index, max_query_time_ns=10_000_000_000))
    )
    await kit.settled(registered.eval_id)
    await kit.run(make_job("another"))
    answer = await asyncio.wait_for(waiting, 10)
    assert answer.index > first.index
    late = asyncio.ensure_future(
        kit.call(methods.JOB_LIST, m.Query(min_query_index=10**9, max_query_time_ns=50_000_000))
    )
    assert (await asyncio.wait_for(late, 5)).index < 10**9
    forever = asyncio.ensure_future(kit.call(methods.JOB_LIST, m.Query(min_query_index=10**9)))
    await cancelled(forever)


async def test_ids_by_prefix(kit: Kit) -> None:
    node = await kit.node()
    await kit.run_and_settle(make_job())
    [alloc] = kit.live("web")
    assert (await kit.call(methods.ALLOC_GET, m.IdQuery(id=alloc.id[:6]))).allocation.id == alloc.id
    assert (await kit.call(methods.NODE_GET, m.IdQuery(id=node.id[:8]))).node.id == node.id
    with pytest.raises(InvalidInput, match="too short"):
        await kit.call(methods.ALLOC_GET, m.IdQuery(id=alloc.id[:1]))
    with pytest.raises(NotFound):
        await kit.call(methods.ALLOC_GET, m.IdQuery(id="ffffffffff"))
