"""Service and batch: scaling, updates, failures, lost nodes, batch; and properties over random histories."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.model.alloc import Allocation, DesiredTransition, RescheduleEvent, RescheduleTracker
from daemon.model.enums import (
    ClientStatus,
    DeploymentStatus,
    Eligibility,
    EvalStatus,
    JobType,
    NodeStatus,
    TaskStateName,
    Trigger,
)
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, TaskGroup
from daemon.model.plan import Attempt
from daemon.model.policies import (
    Constraint,
    DisconnectStrategy,
    EphemeralDisk,
    ReschedulePolicy,
    UpdateStrategy,
)
from daemon.model.tasks import TaskState
from daemon.scheduler.reschedule import next_delay_ns
from tests.scheduler.fleetkit import NOW, SECOND, MiniWorld, make_eval, make_group, make_job, make_node

EXPONENTIAL = ReschedulePolicy()
ONCE = ReschedulePolicy(
    unlimited=False, attempts=1, interval_ns=86_400 * SECOND, delay_ns=5 * SECOND, delay_function="constant"
)


def world(nodes: int = 4, **facts: Any) -> MiniWorld:
    return MiniWorld([make_node(str(i), **facts) for i in range(nodes)])


def newer(job: Job, **facts: Any) -> Job:
    return msgspec.structs.replace(
        job, version=job.version + 1, job_modify_index=job.job_modify_index + 10, **facts
    )


def names(world_: MiniWorld) -> list[str]:
    return [alloc.name for alloc in world_.live()]


def indexes(world_: MiniWorld) -> list[int]:
    return sorted(alloc.index for alloc in world_.live())


def fail(world_: MiniWorld, alloc_id: str, at: int = NOW) -> None:
    state = TaskState(state=TaskStateName.DEAD, failed=True, finished_at_ns=at)
    world_.change(alloc_id, client_status=ClientStatus.FAILED, task_states={"main": state})


def complete(world_: MiniWorld, alloc_id: str) -> None:
    state = TaskState(state=TaskStateName.DEAD, finished_at_ns=NOW)
    world_.change(alloc_id, client_status=ClientStatus.COMPLETE, task_states={"main": state})


# -- scaling -------------------------------------------------------------------------------------------


def test_rc1_fresh_placements_fill_the_free_numbers() -> None:
    w = world()
    w.run(make_job(make_group(count=10)))
    assert indexes(w) == list(range(10))
    for alloc in w.live():
        if alloc.index in (2, 5):
            w.change(alloc.id, client_status=ClientStatus.COMPLETE)
    attempt = w.run(make_job(make_group(count=10)))
    assert attempt.plan.placements == 2
    assert indexes(w) == list(range(10))


def test_rc2_the_highest_numbers_stop() -> None:
    w = world(8)
    w.run(make_job(make_group(count=20)))
    job = newer(make_job(make_group(count=10)))
    attempt = w.run(job)
    assert indexes(w) == list(range(10))
    assert len(attempt.plan.in_place) == 10 and not attempt.plan.placements
    w.run(newer(job, task_groups=(make_group(count=0),)))
    assert names(w) == []


def test_rc2_duplicates_end_at_the_count() -> None:
    w = world()
    w.run(make_job(make_group(count=3)))
    twin = w.live()[0]
    w.set_alloc(msgspec.structs.replace(twin, id="twin"))
    w.run(make_job(make_group(count=3)))
    assert indexes(w) == [0, 1, 2]


def test_stopped_and_purged_jobs_and_removed_groups() -> None:
    job = make_job(make_group("a", 2), make_group("b", 1))
    w = world()
    w.run(job)
    w.run(newer(job, task_groups=(make_group("a", 2),)))
    assert names(w) == ["job.a[0]", "job.a[1]"]
    w.run(newer(job, stop=True))
    assert names(w) == []
    w = world()
    w.run(job)
    attempt = w.run(None, evaluation=make_eval(job, id="gone", type="service"))
    assert names(w) == [] and attempt.evaluation.status == EvalStatus.COMPLETE


# -- updates -------------------------------------------------------------------------------------------


def rolling(count: int, max_parallel: int, cpu: int = 500) -> TaskGroup:
    return make_group(count=count, cpu=cpu, update=UpdateStrategy(max_parallel=max_parallel))


def test_rc4_a_node_that_no_longer_meets_a_constraint_makes_it_destructive() -> None:
    w = MiniWorld([make_node("a", meta={"k": "x"}), make_node("b", meta={"k": "y"})])
    job = make_job(make_group(count=1), constraints=(Constraint(l_target="${meta.k}", r_target="x"),))
    w.run(job)
    [alloc] = w.live()
    assert alloc.node_id == "node-a"
    attempt = w.run(newer(job, constraints=(Constraint(l_target="${meta.k}", r_target="y"),)))
    assert not attempt.plan.in_place and len(attempt.plan.allocs) == 1
    assert w.live()[0].node_id == "node-b"


def test_rc5_rc6_rolling_by_health() -> None:
    w = world(8)
    job = make_job(rolling(10, 4))
    w.run(job)
    w.all_running(healthy=True)
    job = newer(job, task_groups=(rolling(10, 4, cpu=600),))
    attempt = w.run(job)
    assert [a.index for a in attempt.plan.allocs] == [0, 1, 2, 3]
    assert attempt.plan.deployment is not None
    assert attempt.plan.deployment.task_groups["web"].desired_total == 10
    assert len(w.live()) == 10
    assert w.run(job).plan.empty
    fresh = [a for a in w.live() if a.job_version == job.version]
    for alloc in fresh[:3]:
        w.judge(alloc.id, True, client_status=ClientStatus.RUNNING)
    assert [a.index for a in w.run(job).plan.allocs] == [4, 5, 6]
    w.judge(fresh[3].id, False, client_status=ClientStatus.RUNNING)
    for alloc in w.live():
        if alloc.job_version == job.version and alloc.id != fresh[3].id:
            w.judge(alloc.id, True)
    assert w.run(job).plan.empty


@pytest.mark.parametrize("update", [None, UpdateStrategy(max_parallel=0)])
def test_without_an_update_block_all_are_replaced_at_once(update: UpdateStrategy | None) -> None:
    w = world(8)
    job = make_job(make_group(count=6, update=update))
    w.run(job)
    attempt = w.run(newer(job, task_groups=(make_group(count=6, cpu=600, update=update),)))
    assert len(attempt.plan.allocs) == 6
    assert {stop.replaced_by for stop in attempt.plan.stops} == {alloc.id for alloc in attempt.plan.allocs}


def test_rc8_without_room_the_old_one_goes_on() -> None:
    w = world(1, memory=1000)
    job = make_job(make_group(count=1, memory=600))
    w.run(job)
    attempt = w.run(newer(job, task_groups=(make_group(count=1, memory=2000),)))
    assert not attempt.plan.stops and len(w.live()) == 1
    assert [e.status for e in attempt.new_evals] == [EvalStatus.BLOCKED]


def test_a_destructive_update_may_use_the_room_of_its_predecessor() -> None:
    w = world(1, memory=1000)
    job = make_job(make_group(count=1, memory=600))
    w.run(job)
    job = newer(job, task_groups=(make_group(count=1, memory=900),))
    assert w.run(job).plan.placements == 1
    # the predecessor still runs: a second update has to wait for it.
    job = newer(job, task_groups=(make_group(count=1, memory=800),))
    attempt = w.run(job)
    assert attempt.plan.empty and attempt.new_evals[0].status == EvalStatus.BLOCKED
    w.finish_stopping()
    assert w.run(job).plan.placements == 1


def test_what_still_stops_beside_it_is_no_reason_to_replace_what_may_stay() -> None:
    w = MiniWorld([make_node("a", cpu=2000)])
    job = make_job(make_group(count=2, cpu=1000))
    w.run(job)
    job = newer(job, task_groups=(make_group(count=2, cpu=900),))
    w.run(job)
    assert (w.tracker.fleet.used()[0] > 2000).any(), "the old ones still run beside their successors"
    attempt = w.run(newer(job, priority=60))
    assert len(attempt.plan.in_place) == 2 and not attempt.plan.stops and not attempt.plan.placements


def test_other_work_waits_until_what_stops_has_ended() -> None:
    w = world(1, memory=1000)
    job = make_job(make_group(count=1, memory=600))
    w.run(job)
    w.run(newer(job, stop=True))
    other = make_job(make_group(count=1, memory=600), id="other")
    kept, w.allocs = w.allocs, {}
    assert w.run(other).evaluation.failed_tg_allocs
    w.allocs = kept
    w.finish_stopping()
    w.allocs = {}
    assert w.run(other).plan.placements == 1


# -- failures ------------------------------------------------------------------------------------------


def service(policy: ReschedulePolicy | None = EXPONENTIAL, count: int = 1) -> Job:
    return make_job(make_group(count=count, reschedule_policy=policy))


def follow_ups(attempt: Attempt) -> list[Evaluation]:
    return [e for e in attempt.new_evals if e.wait_until_ns]


def test_rf1_a_failed_service_allocation_waits_then_is_replaced_elsewhere() -> None:
    w = world(2)
    job = service()
    w.run(job)
    [alloc] = w.live()
    fail(w, alloc.id)
    attempt = w.run(job)
    [later] = follow_ups(attempt)
    assert later.wait_until_ns == NOW + 30 * SECOND
    assert w.allocs[alloc.id].followup_eval_id == later.id
    assert w.run(job).plan.empty
    w.now = later.wait_until_ns
    attempt = w.run(job, evaluation=later)
    [fresh] = w.live()
    assert fresh.name == alloc.name and fresh.node_id != alloc.node_id
    assert fresh.previous_allocation == alloc.id
    assert fresh.reschedule_tracker is not None
    assert [e.prev_alloc_id for e in fresh.reschedule_tracker.events] == [alloc.id]


def test_rf2_close_due_times_share_an_evaluation() -> None:
    w = world(8)
    job = service(count=7)
    w.run(job)
    for i, alloc in enumerate(w.live()):
        fail(w, alloc.id, NOW if i < 5 else NOW + 10 * SECOND)
    assert len(follow_ups(w.run(job))) == 2


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("constant", [5, 5, 5, 5, 5, 5]),
        ("exponential", [5, 10, 20, 40, 40, 40]),
        ("fibonacci", [5, 5, 10, 15, 25, 40]),
    ],
)
def test_rf4_delays(function: str, expected: list[int]) -> None:
    policy = ReschedulePolicy(delay_ns=5 * SECOND, max_delay_ns=40 * SECOND, delay_function=function)
    events: tuple[RescheduleEvent, ...] = ()
    at = NOW
    for seconds in expected:
        delay = next_delay_ns(policy, events, at + 1)
        assert delay == seconds * SECOND
        events += (RescheduleEvent(reschedule_time_ns=at, prev_alloc_id="", prev_node_id="", delay_ns=delay),)
    assert next_delay_ns(policy, events, at + 3600 * SECOND) == 5 * SECOND


def test_rf5_at_most_five_older_moves_are_carried() -> None:
    w = world(2)
    job = service()
    w.run(job)
    [alloc] = w.live()
    events = tuple(
        RescheduleEvent(reschedule_time_ns=NOW, prev_alloc_id=f"p{i}", prev_node_id="x", delay_ns=1)
        for i in range(9)
    )
    w.change(alloc.id, reschedule_tracker=RescheduleTracker(events=events))
    fail(w, alloc.id, NOW - 3600 * SECOND)
    w.run(job)
    tracker = w.live()[0].reschedule_tracker
    assert tracker is not None
    assert [e.prev_alloc_id for e in tracker.events] == ["p4", "p5", "p6", "p7", "p8", alloc.id]


def test_rf6_no_node_now_is_noted_and_a_later_try_keeps_the_history() -> None:
    w = world(1)
    job = service()
    w.run(job)
    [alloc] = w.live()
    fail(w, alloc.id, NOW - 60 * SECOND)
    node = w.nodes["node-0"]
    w.set_node(msgspec.structs.replace(node, scheduling_eligibility=Eligibility.INELIGIBLE))
    attempt = w.run(job)
    tracker = w.allocs[alloc.id].reschedule_tracker
    assert tracker is not None and tracker.last_reschedule == "no placement"
    [blocked] = attempt.new_evals
    w.set_node(node)
    attempt = w.run(job, evaluation=blocked)
    assert attempt.evaluation.status == EvalStatus.COMPLETE
    assert w.live()[0].previous_allocation == alloc.id


def test_rf8_a_completed_service_allocation_is_replaced_a_batch_one_is_not() -> None:
    for kind, placed in ((JobType.SERVICE, 1), (JobType.BATCH, 0)):
        w = world()
        job = make_job(type=kind)
        w.run(job)
        complete(w, w.live()[0].id)
        assert w.run(job).plan.placements == placed


def test_rf9_one_attempt_a_day() -> None:
    w = world(3)
    job = make_job(make_group(reschedule_policy=ONCE), type=JobType.BATCH)
    w.run(job)
    first = w.live()[0]
    fail(w, first.id)
    [later] = follow_ups(w.run(job))
    assert later.wait_until_ns == NOW + 5 * SECOND
    w.now += 5 * SECOND
    w.run(job, evaluation=later)
    second = w.live()[0]
    fail(w, second.id, w.now)
    w.now += 100 * SECOND
    attempt = w.run(job)
    assert attempt.plan.empty and not attempt.new_evals and not w.live()


def test_rf10_batch_reruns_after_a_change_of_its_spec_only() -> None:
    w = world()
    job = make_job(make_group(count=2), type=JobType.BATCH)
    w.run(job)
    for alloc in w.live():
        complete(w, alloc.id)
    assert w.run(job).plan.empty
    assert w.run(newer(job)).plan.placements == 2


def test_a_failed_allocation_without_policy_keeps_its_slot_until_the_job_is_fixed() -> None:
    w = world()
    job = service(policy=None)
    w.run(job)
    fail(w, w.live()[0].id)
    assert w.run(job).plan.empty
    attempt = w.run(newer(job, task_groups=(make_group(cpu=700),)))
    assert attempt.plan.placements == 1 and len(attempt.plan.stops) == 1


def test_stop_of_one_allocation_replaces_it() -> None:
    w = world()
    job = service(count=2)
    w.run(job)
    victim = w.live()[0]
    w.change(victim.id, desired_transition=DesiredTransition(migrate=True))
    w.run(job)
    assert indexes(w) == [0, 1] and victim.id not in {a.id for a in w.live()}


# -- nodes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [True, False])
def test_lost_nodes_lose_their_work_and_it_is_replaced(gone: bool) -> None:
    w = world(2)
    job = make_job(make_group(count=2))
    w.run(job)
    victim = w.live()[0]
    if gone:
        w.remove_node(victim.node_id)
    else:
        w.set_node(msgspec.structs.replace(w.nodes[victim.node_id], status=NodeStatus.DOWN))
    attempt = w.run(job)
    assert {s.client_status for s in attempt.plan.stops} == {ClientStatus.LOST}
    assert indexes(w) == [0, 1]
    assert victim.node_id not in {a.node_id for a in w.live()}


def test_stopping_work_of_a_lost_node_is_lost_too() -> None:
    w = world(2)
    job = make_job()
    w.run(job)
    victim = w.live()[0]
    w.run(newer(job, stop=True))
    w.set_node(msgspec.structs.replace(w.nodes[victim.node_id], status=NodeStatus.DOWN))
    w.run(newer(job, stop=True))
    assert w.allocs[victim.id].client_status == ClientStatus.LOST


def test_rk10_sticky_disk_goes_back_to_its_node_if_it_fits() -> None:
    w = world(5)
    disk = EphemeralDisk(size_mb=100, sticky=True)
    job = make_job(make_group(ephemeral_disk=disk, cpu=3000))
    w.run(job)
    home = w.live()[0].node_id
    job = newer(job, task_groups=(make_group(ephemeral_disk=disk, cpu=3500),))
    w.run(job)
    assert w.live()[0].node_id == home
    w.finish_stopping()
    w.set_node(msgspec.structs.replace(w.nodes[home], scheduling_eligibility=Eligibility.INELIGIBLE))
    w.run(newer(job, task_groups=(make_group(ephemeral_disk=disk, cpu=3400),)))
    assert w.live()[0].node_id != home


# -- blocked -------------------------------------------------------------------------------------------


def test_a_blocked_evaluation_that_still_fails_stays_itself() -> None:
    w = world(1, memory=300)
    job = make_job(make_group(count=3))
    first = w.run(job)
    [blocked] = first.new_evals
    assert first.evaluation.blocked_eval == blocked.id and blocked.triggered_by == Trigger.QUEUED_ALLOCS
    assert blocked.class_eligibility == {"c1": True} and not blocked.escaped_computed_class
    assert first.evaluation.queued_allocations == {"web": 2}
    again = w.run(job, evaluation=blocked)
    assert again.evaluation.id == blocked.id and again.evaluation.status == EvalStatus.BLOCKED
    assert not again.new_evals
    w.set_node(make_node("big"))
    last = w.run(job, evaluation=blocked)
    assert last.evaluation.status == EvalStatus.COMPLETE and len(w.live()) == 3


def test_classes_that_cannot_serve_are_recorded_and_unique_targets_escape() -> None:
    nodes = [
        make_node("a", computed_class="amd", attributes={"arch": "amd64"}),
        make_node("b", computed_class="arm", attributes={"arch": "arm64"}, memory=10),
    ]
    arm = Constraint(l_target="${attr.arch}", r_target="arm64")
    [blocked] = MiniWorld(nodes).run(make_job(constraints=(arm,))).new_evals
    assert blocked.class_eligibility == {"amd": False, "arm": True}
    here = Constraint(l_target="${node.unique.name}", r_target="nowhere")
    [blocked] = MiniWorld(nodes).run(make_job(constraints=(here,))).new_evals
    assert blocked.escaped_computed_class and blocked.class_eligibility == {}


# -- properties ----------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.integers(0, 6)),
        st.tuples(st.just("spec"), st.integers(0, 2)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("done"), st.integers(0, 9)),
        st.tuples(st.just("run"), st.booleans()),
        st.tuples(st.just("node"), st.integers(0, 3), st.sampled_from(["ready", "down", "disconnected"])),
        st.tuples(st.just("time"), st.integers(1, 100)),
        st.tuples(st.just("ended")),
        st.tuples(st.just("stop"), st.booleans()),
        st.tuples(st.just("promote")),
        st.tuples(st.just("rollout"), st.sampled_from(["running", "paused", "failed"])),
        st.tuples(st.just("ask"), st.integers(0, 9)),
        st.tuples(st.just("move"), st.integers(0, 9)),
    ),
    max_size=14,
)


def play(w: MiniWorld, job: Job, event: tuple[Any, ...]) -> Job:
    group = job.task_groups[0]
    match event:
        case ("count", count):
            return newer(job, task_groups=(msgspec.structs.replace(group, count=count),))
        case ("spec", step):
            fresh = make_group(cpu=500 + 100 * step)
            return newer(job, task_groups=(msgspec.structs.replace(group, tasks=fresh.tasks),))
        case ("fail" | "done" as what, n) if w.live():
            alloc = w.live()[n % len(w.live())]
            (fail(w, alloc.id, w.now) if what == "fail" else complete(w, alloc.id))
        case ("run", healthy):
            w.all_running(healthy=healthy)
        case ("node", n, status):
            node = w.nodes[f"node-{n}"]
            w.set_node(msgspec.structs.replace(node, status=NodeStatus(status)))
            if status == "ready":
                for alloc in w.allocs.values():
                    if alloc.node_id == node.id and alloc.client_status == ClientStatus.UNKNOWN:
                        w.change(alloc.id, client_status=ClientStatus.RUNNING, followup_eval_id="")
        case ("time", seconds):
            w.now += seconds * SECOND
        case ("ended",):
            w.finish_stopping()
        case ("stop", stop):
            return newer(job, stop=stop)
        case ("promote",) if w.deployment is not None and w.deployment.active:
            w.promote()
        case ("rollout", status) if w.deployment is not None and w.deployment.active:
            w.set_deployment(DeploymentStatus(status))
        case ("ask", n) if failed := [a for a in w.allocs.values() if a.client_status == ClientStatus.FAILED]:
            w.change(failed[n % len(failed)].id, desired_transition=DesiredTransition(reschedule=True))
        case ("move", n) if w.live():
            w.change(w.live()[n % len(w.live())].id, desired_transition=DesiredTransition(migrate=True))
    return job


def is_canary(alloc: Allocation) -> bool:
    return alloc.deployment_status is not None and alloc.deployment_status.canary


@example([("run", True), ("node", 0, "down"), ("spec", 1)], JobType.SERVICE, None, 0, False)
@example([("spec", 1), ("fail", 0), ("count", 1)], JobType.SERVICE, 1, 1, None)
@example([("spec", 1), ("promote",), ("fail", 0), ("count", 2), ("ask", 0)], JobType.SERVICE, 1, 1, None)
@example([("fail", 0), ("count", 2), ("fail", 0), ("ask", 0), ("run", True)], JobType.SERVICE, 1, 0, None)
@settings(max_examples=200, deadline=None)
@given(
    EVENTS,
    st.sampled_from([JobType.SERVICE, JobType.BATCH]),
    st.sampled_from([None, 1, 2]),
    st.integers(0, 3),
    st.sampled_from([None, True, False]),
)
def test_rc16_any_history_keeps_the_rules(
    events: list[tuple[Any, ...]],
    kind: JobType,
    max_parallel: int | None,
    canary: int,
    replaced: bool | None,
) -> None:
    w = MiniWorld([make_node(str(i), cpu=2000, memory=1000) for i in range(4)])
    paced = max_parallel is not None and kind == JobType.SERVICE
    update = UpdateStrategy(max_parallel=max_parallel or 0, canary=canary) if paced else None
    policy = EXPONENTIAL if kind == JobType.SERVICE else ONCE
    disconnect = None
    if replaced is not None:
        disconnect = DisconnectStrategy(lost_after_ns=50 * SECOND, replace=replaced)
    job = make_job(
        make_group(count=3, update=update, reschedule_policy=policy, disconnect=disconnect), type=kind
    )
    for event in [("none",), *events]:
        job = play(w, job, event)
        attempt = w.run(job)
        group = job.task_groups[0]
        fresh = sum(block.count for block in attempt.plan.blocks if block.canary)
        fresh += sum(is_canary(alloc) for alloc in attempt.plan.allocs)
        assert attempt.plan.placements - fresh <= group.count
        canaries = [alloc for alloc in w.live() if is_canary(alloc)]
        # what nobody hears of may run beside its replacement, and beyond a count that shrank meanwhile.
        heard = [alloc for alloc in w.live() if alloc.client_status != ClientStatus.UNKNOWN]
        live = [alloc for alloc in heard if not is_canary(alloc)]
        assert len(live) <= (0 if job.stop else group.count)
        assert len(canaries) <= (canary if paced and not job.stop else 0)
        for held in (live, canaries):
            numbers = [alloc.index for alloc in held]
            assert len(numbers) == len(set(numbers))
        fleet = w.tracker.fleet
        assert (fleet.used() <= fleet.capacity + fleet.stopping).all(), "wanted work exceeds a node"
        assert ((fleet.used() <= fleet.capacity) | (fleet.stopping > 0)).all()
        again = w.run(job)
        assert again.plan.empty, again.plan
