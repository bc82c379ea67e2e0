"""Quarantine on a whole server: failures on one node, and what follows for nodes, jobs and people."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from daemon.model.enums import ClientStatus, JobType
from daemon.model.errors import EncampError
from daemon.model.node import Node, NodeQuarantine
from daemon.model.policies import Constraint, ParameterizedConfig, ReschedulePolicy
from daemon.model.scheduler_config import ON, QuarantineConfig, SchedulerConfig
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.server.server import ServerConfig
from daemon.state.commands import NodesQuarantine
from tests.server.serverkit import Kit, make_job

NEVER = ReschedulePolicy(attempts=0, unlimited=False)


async def switch(kit: Kit, **changes: object) -> None:
    config = SchedulerConfig(quarantine=QuarantineConfig(**changes))  # type: ignore[arg-type]
    await kit.call(methods.SCHEDULER_SET_CONFIG, m.SchedulerConfigRequest(scheduler_config=config))


def stored(kit: Kit, node: Node) -> Node:
    found = kit.server.context.state.node(node.id)
    assert found is not None
    return found


async def fail_jobs(kit: Kit, node: Node, count: int = 3) -> None:
    """So many jobs fail there, each once; they are not replaced."""
    for number in range(count):
        await kit.run_and_settle(
            make_job(f"bad-{number}", type=JobType.BATCH, group={"reschedule_policy": NEVER})
        )
        [alloc] = kit.live(f"bad-{number}")
        assert alloc.node_id == node.id
        await kit.report(node, alloc, ClientStatus.FAILED, exit_code=1)


async def one_bad_of_three(kit: Kit) -> Node:
    """A node on which three jobs have failed before two more joined."""
    bad = await kit.node("n1")
    await fail_jobs(kit, bad)
    await kit.node("n2")
    await kit.node("n3")
    return bad


async def test_a_node_where_several_jobs_fail_takes_no_new_work_until_an_operator_says_so(kit: Kit) -> None:
    await switch(kit, mode=ON)
    bad = await one_bad_of_three(kit)
    node = await kit.until("the quarantine", lambda: (n := stored(kit, bad)).quarantined and n)
    assert "3 allocations of 3 jobs failed there" in node.quarantine.reason
    assert not node.ready and node.status == "ready" and node.scheduling_eligibility == "eligible"
    assert node.events[-1].subsystem == "Quarantine" and "bad-1 1x" in node.events[-1].message
    [stub] = [n for n in (await kit.call(methods.NODE_LIST, m.Query())).nodes if n.id == bad.id]
    assert "3 jobs" in stub.quarantine
    await kit.run_and_settle(make_job("web", count=6))
    assert bad.id not in {alloc.node_id for alloc in kit.live("web")} and len(kit.live("web")) == 6
    await kit.call(methods.NODE_ELIGIBILITY, m.NodeEligibilityRequest(node_id=bad.id, eligibility="eligible"))
    node = stored(kit, bad)
    assert node.quarantine is None and node.ready and node.pardoned_at_ns
    assert node.events[-1].message == "Quarantine ended by an operator"
    # it is looked at again, and what was forgiven counts no more
    await kit.node("n4")
    await fail_once(kit, bad, "again")
    assert stored(kit, bad).quarantine is None


async def fail_once(kit: Kit, node: Node, job_id: str) -> None:
    """One more failure there, by a job that wants the node, and a look after it."""
    here = Constraint(l_target="${node.unique.id}", r_target=node.id)
    await kit.run_and_settle(
        make_job(job_id, type=JobType.BATCH, constraints=(here,), group={"reschedule_policy": NEVER})
    )
    [alloc] = kit.live(job_id)
    await kit.report(node, alloc, ClientStatus.FAILED, exit_code=1)
    blames = kit.server.quarantine.scores.blames(node.id, time.time_ns())
    assert [blame.job[1] for blame in blames] == [job_id]


async def test_a_job_that_waits_for_the_node_is_told_why_and_is_tried_again_at_its_release(kit: Kit) -> None:
    await switch(kit, mode=ON, share_percent=100)
    bad = await kit.node("n1")
    await fail_jobs(kit, bad)
    await kit.until("the quarantine", lambda: stored(kit, bad).quarantined)
    await kit.run_and_settle(make_job("web"))
    said = "\n".join(line for group in (await kit.why("web")).groups for line in group.lines)
    assert "1 quarantined" in said and "3 jobs failed there" in said
    assert "it is quarantined" in said and "making it eligible" in said
    assert f"`encamp node eligibility -enable {bad.id[:8]}` ends that" in said
    await kit.call(methods.NODE_ELIGIBILITY, m.NodeEligibilityRequest(node_id=bad.id, eligibility="eligible"))
    await kit.until("the job to be placed", lambda: kit.live("web"))


async def test_without_being_switched_on_it_only_observes(kit: Kit) -> None:
    bad = await one_bad_of_three(kit)
    node = await kit.until("the mark", lambda: (n := stored(kit, bad)).quarantine and n)
    assert node.ready and node.quarantine.held_back == "observing only"
    assert node.events[-1].message.startswith("Would be quarantined: 3 allocations of 3 jobs")
    said = "\n".join(line for group in (await kit.why("bad-0")).groups for line in group.lines)
    assert "it would be quarantined, but for: observing only" in said
    await switch(kit, mode=ON)
    await kit.until("the effect", lambda: stored(kit, bad).quarantined)
    await switch(kit, mode="off")
    await kit.until("the end", lambda: stored(kit, bad).quarantine is None)
    assert stored(kit, bad).pardoned_at_ns == 0


async def test_a_mark_ends_by_itself_when_the_failures_have_faded(kit: Kit) -> None:
    await switch(kit, mode=ON)
    bad = await one_bad_of_three(kit)
    await kit.until("the quarantine", lambda: stored(kit, bad).quarantined)
    await switch(kit, mode=ON, half_life_ns=1_000_000)
    await kit.until("the pace to hold", lambda: kit.server.quarantine.scores.half_life_ns == 1_000_000)
    # any change of the settings is a reason to look before it is time
    await switch(kit, mode=ON, half_life_ns=1_000_000, share_percent=11)
    await kit.until("the release", lambda: stored(kit, bad).quarantine is None)
    assert stored(kit, bad).events[-1].message == "Quarantine ended"


async def test_system_jobs_come_to_a_node_that_is_released(kit: Kit) -> None:
    await switch(kit, mode=ON)
    bad = await one_bad_of_three(kit)
    await kit.until("the quarantine", lambda: stored(kit, bad).quarantined)
    await kit.run_and_settle(make_job("sys", type=JobType.SYSTEM))
    assert len(kit.live("sys")) == 2
    await switch(kit, mode="off")
    await kit.until("the system job", lambda: len(kit.live("sys")) == 3)
    assert stored(kit, bad).quarantine is None


async def test_what_runs_there_goes_on_and_the_node_cannot_say_otherwise(kit: Kit) -> None:
    await switch(kit, mode=ON, share_percent=100)
    bad = await kit.node("n1")
    await kit.run_and_settle(make_job("web", count=2))
    for alloc in kit.live("web"):
        await kit.report(bad, alloc, ClientStatus.RUNNING)
    await fail_jobs(kit, bad)
    await kit.until("the quarantine", lambda: stored(kit, bad).quarantined)
    answer = await kit.call(methods.JOB_EVALUATE, m.JobEvaluateRequest(id="web"))
    await kit.settled(answer.eval_id)
    assert len(kit.live("web")) == 2
    await kit.call(methods.NODE_REGISTER, m.NodeRegisterRequest(node=replace(bad, quarantine=None)))
    assert stored(kit, bad).quarantined


async def test_a_job_that_failed_on_a_node_goes_elsewhere_though_packing_would_bring_it_back(
    kit: Kit,
) -> None:
    full = await kit.node("n1")
    await kit.run_and_settle(make_job("web", count=8))
    # the fuller node wins for whoever has not failed there
    other = await kit.node("n2")
    await kit.run_and_settle(make_job("work", type=JobType.BATCH, group={"reschedule_policy": NEVER}))
    [alloc] = kit.live("work")
    assert alloc.node_id == full.id
    await kit.report(full, alloc, ClientStatus.FAILED, exit_code=1)
    await kit.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id="work", purge=True))
    await kit.run_and_settle(make_job("work", type=JobType.BATCH))
    [alloc] = kit.live("work")
    assert alloc.node_id == other.id
    await kit.run_and_settle(make_job("innocent", type=JobType.BATCH))
    assert kit.live("innocent")[0].node_id == full.id


async def test_a_new_leader_reads_the_failures_from_the_state(tmp_path: Path) -> None:
    kit = await Kit(ServerConfig(data_dir=tmp_path)).start()
    bad = await kit.node("n1")
    try:
        await switch(kit, mode=ON)
        await fail_jobs(kit, bad)
    finally:
        await kit.close()
    kit = await Kit(ServerConfig(data_dir=tmp_path)).start()
    try:
        assert kit.server.quarantine.scores.nodes() == [bad.id]
        await kit.node("n2")
        await kit.node("n3")
        await kit.until("the quarantine", lambda: stored(kit, bad).quarantined)
        await kit.call(
            methods.NODE_ELIGIBILITY, m.NodeEligibilityRequest(node_id=bad.id, eligibility="eligible")
        )
    finally:
        await kit.close()
    kit = await Kit(ServerConfig(data_dir=tmp_path)).start()
    try:
        assert kit.server.quarantine.scores.nodes() == []
    finally:
        await kit.close()


async def test_a_mark_that_was_decided_before_an_operators_word_is_dropped(kit: Kit) -> None:
    node = await kit.node("n1")
    mark = {node.id: NodeQuarantine(reason="r")}
    now = time.time_ns()
    await kit.server.propose(NodesQuarantine(time_ns=now, marks=mark))
    await kit.call(
        methods.NODE_ELIGIBILITY, m.NodeEligibilityRequest(node_id=node.id, eligibility="eligible")
    )
    changes = await kit.server.propose(NodesQuarantine(time_ns=now, marks={**mark, "nobody": None}))
    assert stored(kit, node).quarantine is None
    assert "operator" in changes.dropped[node.id] and "no such node" in changes.dropped["nobody"]


async def test_what_fails_when_it_is_stopped_counts_for_nothing(kit: Kit) -> None:
    node = await kit.node("n1")
    await kit.run_and_settle(make_job("web"))
    [alloc] = kit.live("web")
    await kit.report(node, alloc, ClientStatus.RUNNING)
    stop = await kit.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id="web"))
    await kit.settled(stop.eval_id)
    await kit.report(node, alloc, ClientStatus.FAILED, exit_code=137)
    await kit.report(node, alloc, ClientStatus.FAILED, exit_code=137)
    assert kit.allocs("web")[0].client_status == ClientStatus.FAILED
    assert len(kit.server.quarantine.scores) == 0


async def test_launched_jobs_count_as_their_parent_and_a_report_counts_once(kit: Kit) -> None:
    node = await kit.node("n1")
    await kit.run(
        make_job(
            "encode",
            type=JobType.BATCH,
            parameterized_job=ParameterizedConfig(),
            group={"reschedule_policy": NEVER},
        )
    )
    for _ in range(3):
        answer = await kit.call(methods.JOB_DISPATCH, m.JobDispatchRequest(job_id="encode"))
        await kit.settled(answer.eval_id)
        [alloc] = kit.live(answer.dispatched_job_id)
        await kit.report(node, alloc, ClientStatus.FAILED, exit_code=1)
        await kit.report(node, alloc, ClientStatus.FAILED, exit_code=1)
    [blame] = kit.server.quarantine.scores.blames(node.id, time.time_ns())
    assert blame.job == ("default", "encode") and blame.tally.count == 3 and blame.weight == 1.0
    child = kit.server.context.state.job("default", answer.dispatched_job_id)
    assert child is not None
    assert kit.server.quarantine.failed_on(child, time.time_ns()) == {node.id: 1.0}
    await switch(kit, mode="off")
    assert kit.server.quarantine.failed_on(child, time.time_ns()) == {}


@pytest.mark.parametrize(
    "bad",
    [
        QuarantineConfig(mode="perhaps"),
        QuarantineConfig(jobs=0),
        QuarantineConfig(share_percent=101),
        QuarantineConfig(half_life_ns=0),
    ],
)
async def test_settings_that_make_no_sense_are_refused(kit: Kit, bad: QuarantineConfig) -> None:
    with pytest.raises(EncampError, match="quarantine|half-life"):
        await kit.call(
            methods.SCHEDULER_SET_CONFIG,
            m.SchedulerConfigRequest(scheduler_config=SchedulerConfig(quarantine=bad)),
        )
    assert kit.server.context.state.scheduler_config.quarantine == QuarantineConfig()
