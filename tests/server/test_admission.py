"""max_running and admission on a whole server: turns, reasons in words, and "busy" instead of drowning."""

from __future__ import annotations

import pytest

from daemon.model.enums import ClientStatus, JobType
from daemon.model.errors import Unavailable
from daemon.model.policies import ParameterizedConfig
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.server.admission import Admission, Limits, Load
from daemon.server.server import ServerConfig
from tests.server.serverkit import Kit, make_job


def test_a_full_queue_answers_busy_with_a_time_to_come_back() -> None:
    load = Load(evaluations=100)
    admission = Admission(Limits(evaluations=100), lambda: load)
    with pytest.raises(Unavailable, match="busy: 100 evaluations wait") as caught:
        admission.check("the job")
    assert caught.value.details["retry_after_s"] > 0
    admission.check("the stop", stopping=True)
    assert admission.refused == 1


async def test_a_busy_leader_refuses_work_and_writes_nothing() -> None:
    kit = await Kit(ServerConfig(data_dir=None, limits=Limits(evaluations=0))).start()
    try:
        index = kit.server.context.state.index
        with pytest.raises(Unavailable, match="was not accepted"):
            await kit.run(make_job())
        assert kit.server.context.state.index == index
    finally:
        await kit.close()


async def test_dispatched_jobs_run_max_running_at_once_and_say_so(kit: Kit) -> None:
    node = await kit.node()
    parent = make_job("encode", type=JobType.BATCH, parameterized_job=ParameterizedConfig(), max_running=1)
    await kit.run(parent)
    answers = [
        await kit.call(methods.JOB_DISPATCH, m.JobDispatchRequest(job_id="encode", idempotency_token=str(n)))
        for n in range(3)
    ]
    first, second, third = (answer.dispatched_job_id for answer in answers)
    await kit.until("the first to be placed", lambda: kit.live(first))
    assert kit.allocs(second) == [] == kit.allocs(third)
    assert "waits for its turn" in (await kit.why(third)).headline
    await kit.report(node, kit.live(first)[0], ClientStatus.COMPLETE)
    await kit.until("the second to be placed", lambda: kit.live(second))
    assert kit.allocs(third) == []


async def test_a_batch_group_runs_max_running_at_once(kit: Kit) -> None:
    node = await kit.node()
    await kit.run_and_settle(make_job("many", type=JobType.BATCH, count=5, group={"max_running": 2}))
    assert len(kit.live("many")) == 2
    for done in range(1, 6):
        await kit.report(node, kit.live("many")[0], ClientStatus.COMPLETE)
        left = min(2, 5 - done)
        await kit.until(f"{left} to run", lambda left=left: len(kit.live("many")) == left)
    assert len({alloc.name for alloc in kit.allocs("many")}) == 5
