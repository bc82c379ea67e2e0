"""max_running of launched jobs and of groups, and what a busy leader answers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from daemon.model.enums import ClientStatus, JobType
from daemon.model.errors import Unavailable
from daemon.model.job import Job
from daemon.model.policies import ParameterizedConfig, ReschedulePolicy
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.server.admission import Limits
from daemon.server.server import ServerConfig
from tests.server.serverkit import Kit, make_job


def parent(max_running: int) -> Job:
    job = make_job("encode", type=JobType.BATCH, parameterized_job=ParameterizedConfig())
    return msgspec.structs.replace(job, max_running=max_running)


async def dispatched(kit: Kit, count: int) -> list[str]:
    request = m.JobDispatchRequest(job_id="encode")
    return [(await kit.call(methods.JOB_DISPATCH, request)).dispatched_job_id for _ in range(count)]


def placed(kit: Kit, children: list[str]) -> list[str]:
    return [child for child in children if kit.live(child)]


async def test_only_so_many_launches_run_and_the_others_say_why(kit: Kit) -> None:
    node = await kit.node()
    await kit.run(parent(2))
    children = await dispatched(kit, 5)
    await kit.until("two to be placed", lambda: len(placed(kit, children)) == 2)
    assert placed(kit, children) == children[:2]
    why = await kit.why(children[3])
    assert not why.ok
    assert (
        why.headline
        == "waits for its turn: 2 launches of encode run, max_running is 2, and 1 are ahead of it."
    )
    assert (await kit.why(children[2])).headline.endswith("0 are ahead of it.")
    (alloc,) = kit.live(children[0])
    await kit.report(node, alloc, ClientStatus.COMPLETE)
    await kit.until("the third to be placed", lambda: placed(kit, children) == children[1:3])
    # stopping one that waits frees nothing, stopping one that runs does
    await kit.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id=children[3]))
    await kit.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id=children[1]))
    await kit.until("the fifth to be placed", lambda: children[4] in placed(kit, children))
    assert kit.allocs(children[3]) == []


async def test_raising_the_limit_lets_more_run(kit: Kit) -> None:
    await kit.node()
    await kit.run(parent(1))
    children = await dispatched(kit, 3)
    await kit.until("one to be placed", lambda: len(placed(kit, children)) == 1)
    await kit.run(parent(3))
    await kit.until("all to be placed", lambda: len(placed(kit, children)) == 3)


async def test_the_line_outlives_the_server(tmp_path: Path) -> None:
    kit = await Kit(ServerConfig(data_dir=tmp_path)).start()
    node = await kit.node()
    await kit.run(parent(1))
    children = await dispatched(kit, 3)
    await kit.until("one to be placed", lambda: len(placed(kit, children)) == 1)
    await kit.close()
    kit = await Kit(ServerConfig(data_dir=tmp_path)).start()
    try:
        assert len(kit.server.evaluation.launches) == 2
        (alloc,) = kit.live(children[0])
        await kit.report(node, alloc, ClientStatus.COMPLETE)
        await kit.until("the next to be placed", lambda: placed(kit, children) == children[1:2])
    finally:
        await kit.close()


async def test_a_group_runs_no_more_than_its_max_running(kit: Kit) -> None:
    node = await kit.node()
    group = {"max_running": 2, "reschedule_policy": ReschedulePolicy(attempts=0, unlimited=False)}
    job = make_job("many", count=5, type=JobType.BATCH, group=group)
    await kit.run_and_settle(job)
    ended: list[str] = []
    for step, status in enumerate((ClientStatus.COMPLETE, ClientStatus.FAILED, ClientStatus.COMPLETE)):
        live = await kit.until(
            "two to run", lambda: (found := kit.live("many")) and len(found) == 2 and found
        )
        why = await kit.why("many")
        line = f"{3 - step} wait for their turn: max_running lets 2 run at once."
        assert line in why.groups[0].lines
        await kit.report(node, live[0], status, exit_code=int(status == ClientStatus.FAILED))
        ended.append(live[0].name)
    await kit.until("all to be placed", lambda: len(kit.allocs("many")) == 5)
    assert sorted(alloc.name for alloc in kit.allocs("many")) == [f"many.g[{number}]" for number in range(5)]
    assert len(kit.live("many")) == 2


async def test_lowering_the_limit_of_a_group_stops_nothing(kit: Kit) -> None:
    await kit.node()
    job = make_job("many", count=4, type=JobType.BATCH, group={"max_running": 3})
    await kit.run_and_settle(job)
    await kit.run_and_settle(make_job("many", count=4, type=JobType.BATCH, group={"max_running": 1}))
    assert len(kit.live("many")) == 3


async def test_a_busy_leader_says_when_to_come_back() -> None:
    kit = await Kit(ServerConfig(data_dir=None, limits=Limits(launches=2))).start()
    try:
        await kit.run(parent(1))
        # without a node the first waits for room, and the others for the first
        await dispatched(kit, 3)
        with pytest.raises(Unavailable, match=r"busy: 2 launched jobs wait") as caught:
            await dispatched(kit, 1)
        assert caught.value.details["retry_after_s"] > 0
        children = kit.server.context.state.children("default", "encode")
        assert children is not None and len(children.ids) == 3, "what was refused left nothing behind"
        with pytest.raises(Unavailable, match="the job was not accepted"):
            await kit.run(make_job("web"))
        # stopping is let in
        await kit.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id=next(iter(children.ids))))
    finally:
        await kit.close()
