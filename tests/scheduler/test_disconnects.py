"""Nodes out of sight and back: what waits, what is replaced, and who stays."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, JobType, NodeStatus, TaskStateName, Trigger
from daemon.model.job import Job
from daemon.model.metrics import AllocMetric, NodeScore
from daemon.model.policies import DisconnectStrategy, ReschedulePolicy
from daemon.model.tasks import TaskState
from tests.scheduler.fleetkit import SECOND, MiniWorld, make_group, make_job, make_node

WAIT = 300 * SECOND


def job_of(count: int = 1, **facts: Any) -> Job:
    disconnect = DisconnectStrategy(**({"lost_after_ns": WAIT} | facts))
    return make_job(make_group(count=count, disconnect=disconnect, reschedule_policy=ReschedulePolicy()))


def world(job: Job) -> MiniWorld:
    w = MiniWorld([make_node(str(i)) for i in range(3)])
    w.run(job)
    w.all_running()
    return w


def node(w: MiniWorld, node_id: str, status: NodeStatus) -> None:
    w.set_node(msgspec.structs.replace(w.nodes[node_id], status=status))


def vanish(w: MiniWorld, job: Job) -> Allocation:
    """The node of the first allocation is out of sight, and that has been seen."""
    original = w.live()[0]
    node(w, original.node_id, NodeStatus.DISCONNECTED)
    w.run(job)
    return w.allocs[original.id]


def come_back(w: MiniWorld, original: Allocation, status: ClientStatus = ClientStatus.RUNNING) -> None:
    node(w, original.node_id, NodeStatus.READY)
    w.change(original.id, client_status=status, followup_eval_id="")


def scored(w: MiniWorld, alloc: Allocation, score: float, started: int = 0) -> None:
    metric = AllocMetric(score_meta_data=(NodeScore(node_id=alloc.node_id, norm_score=score),))
    state = TaskState(state=TaskStateName.RUNNING, started_at_ns=started)
    w.change(alloc.id, metrics=metric, task_states={"main": state}, client_status=ClientStatus.RUNNING)


def replacement(w: MiniWorld, original: Allocation) -> Allocation:
    return next(alloc for alloc in w.allocs.values() if alloc.previous_allocation == original.id)


@pytest.mark.parametrize("replace", [True, False])
def test_rf12_unknown_with_or_without_a_replacement_and_lost_in_the_end(replace: bool) -> None:
    job = job_of(replace=replace)
    w = world(job)
    original = w.live()[0]
    node(w, original.node_id, NodeStatus.DISCONNECTED)
    attempt = w.run(job)
    [timeout] = attempt.new_evals
    assert timeout.triggered_by == Trigger.MAX_DISCONNECT_TIMEOUT
    assert timeout.wait_until_ns == w.now + WAIT
    original = w.allocs[original.id]
    assert original.client_status == ClientStatus.UNKNOWN and original.followup_eval_id == timeout.id
    assert attempt.plan.placements == (1 if replace else 0) and not attempt.plan.stops
    if replace:
        assert replacement(w, original).name == original.name
    assert w.run(job).plan.empty
    w.now += WAIT
    w.run(job, evaluation=timeout)
    assert w.allocs[original.id].client_status == ClientStatus.LOST
    assert len(w.live()) == 1 and w.run(job).plan.empty


def test_without_lost_after_a_node_out_of_sight_is_lost_at_once() -> None:
    job = make_job(make_group(count=1))
    w = world(job)
    original = vanish(w, job)
    assert original.client_status == ClientStatus.LOST and len(w.live()) == 1


def test_what_had_not_started_is_lost_at_once() -> None:
    job = job_of()
    w = MiniWorld([make_node("0"), make_node("1")])
    w.run(job)
    assert vanish(w, job).client_status == ClientStatus.LOST


@pytest.mark.parametrize(("score", "stays"), [(0.9, "original"), (0.5, "original"), (0.1, "replacement")])
def test_rf13_exactly_one_remains_by_the_better_score(score: float, stays: str) -> None:
    job = job_of()
    w = world(job)
    original = vanish(w, job)
    other = replacement(w, original)
    come_back(w, original)
    scored(w, original, score)
    scored(w, other, 0.5)
    w.run(job)
    [left] = w.live()
    assert left.id == (original.id if stays == "original" else other.id)
    assert w.run(job).plan.empty


def test_rf13_a_running_original_is_not_given_up_for_one_that_does_not_run_yet() -> None:
    job = job_of()
    w = world(job)
    original = vanish(w, job)
    other = replacement(w, original)
    come_back(w, original)
    scored(w, original, 0.1)
    scored(w, other, 0.9)
    w.change(other.id, client_status=ClientStatus.PENDING)
    w.run(job)
    assert [alloc.id for alloc in w.live()] == [original.id]


@pytest.mark.parametrize(
    ("strategy", "stays"),
    [
        ("keep_original", "original"),
        ("keep_replacement", "replacement"),
        ("longest_running", "original"),
    ],
)
def test_rf14_strategies(strategy: str, stays: str) -> None:
    job = job_of(reconcile=strategy)
    w = world(job)
    original = vanish(w, job)
    other = replacement(w, original)
    come_back(w, original)
    # by their scores it would be the other way round.
    scored(w, original, 0.1 if stays == "original" else 0.9, started=1)
    scored(w, other, 0.5, started=2)
    w.run(job)
    assert [alloc.id for alloc in w.live()] == [original.id if stays == "original" else other.id]
    assert w.run(job).plan.empty


def test_rf14_a_newer_version_keeps_the_replacement() -> None:
    job = job_of(reconcile="keep_original")
    w = world(job)
    original = vanish(w, job)
    job = msgspec.structs.replace(job, version=1, job_modify_index=20, priority=60)
    w.run(job)
    come_back(w, original)
    w.run(job)
    assert [alloc.id for alloc in w.live()] == [replacement(w, original).id]


def test_rf14_an_original_of_an_older_version_goes_though_nothing_replaced_it() -> None:
    job = job_of(replace=False)
    w = world(job)
    original = vanish(w, job)
    job = msgspec.structs.replace(job, version=1, job_modify_index=20, priority=60)
    w.run(job)
    come_back(w, original)
    w.run(job)
    assert [alloc.id for alloc in w.live()] != [original.id] and len(w.live()) == 1


def test_without_a_disconnect_block_the_better_score_stays() -> None:
    job = job_of(reconcile="keep_replacement")
    w = world(job)
    original = vanish(w, job)
    [group] = job.task_groups
    come_back(w, original)
    scored(w, original, 0.9)
    scored(w, replacement(w, original), 0.1)
    w.run(msgspec.structs.replace(job, task_groups=(msgspec.structs.replace(group, disconnect=None),)))
    assert [alloc.id for alloc in w.live()] == [original.id]


def test_a_failed_original_goes_and_a_kept_one_is_replaced_again_when_it_fails() -> None:
    job = job_of()
    w = world(job)
    original = vanish(w, job)
    come_back(w, original, ClientStatus.FAILED)
    w.run(job)
    assert [alloc.id for alloc in w.live()] == [replacement(w, original).id] and w.run(job).plan.empty
    w = world(job)
    original = vanish(w, job)
    come_back(w, original)
    scored(w, original, 0.9)
    w.run(job)
    state = TaskState(state=TaskStateName.DEAD, failed=True, finished_at_ns=w.now - 60 * SECOND)
    w.change(original.id, client_status=ClientStatus.FAILED, task_states={"main": state})
    w.run(job)
    assert len(w.live()) == 1 and w.live()[0].previous_allocation == original.id


def test_unknown_ones_are_no_surplus_and_are_not_told_of_changes() -> None:
    job = job_of(2, replace=False)
    w = world(job)
    original = vanish(w, job)
    [group] = job.task_groups
    job = msgspec.structs.replace(
        job, version=1, job_modify_index=20, task_groups=(msgspec.structs.replace(group, count=1),)
    )
    plan = w.run(job).plan
    assert original.id not in {update.alloc_id for update in plan.in_place} and not plan.stops


def test_what_is_surplus_when_its_node_goes_out_of_sight_is_over_and_waited_for_by_nobody() -> None:
    w = world(job_of(3, replace=False))
    last = max(w.live(), key=lambda alloc: alloc.index)
    node(w, last.node_id, NodeStatus.DISCONNECTED)
    smaller = msgspec.structs.replace(job_of(2, replace=False), version=1, job_modify_index=20)
    attempt = w.run(smaller)
    assert [stop.alloc_id for stop in attempt.plan.stops] == [last.id]
    marked = {mark.alloc_id for mark in attempt.plan.marks}
    assert last.id not in marked and w.allocs[last.id].client_status == ClientStatus.LOST
    assert w.run(smaller).plan.empty


def test_stop_on_client_after_holds_the_group_until_it_must_have_ended() -> None:
    disconnect = DisconnectStrategy(stop_on_client_after_ns=10 * SECOND)
    job = make_job(make_group(count=2, disconnect=disconnect))
    w = world(job)
    original = w.live()[0]
    node(w, original.node_id, NodeStatus.DOWN)
    gone = [alloc for alloc in w.live() if alloc.node_id == original.node_id]
    attempt = w.run(job)
    [later] = attempt.new_evals
    assert later.wait_until_ns == w.now + 15 * SECOND and not attempt.plan.placements
    assert len(attempt.plan.stops) == len(gone) and w.run(job).plan.empty
    w.now = later.wait_until_ns
    w.run(job, evaluation=later)
    assert len(w.live()) == 2 and replacement(w, original).name == original.name
    assert w.run(job).plan.empty


def test_a_system_job_waits_for_its_node_and_goes_on() -> None:
    group = make_group(disconnect=DisconnectStrategy(lost_after_ns=WAIT))
    job = make_job(group, type=JobType.SYSTEM)
    w = world(job)
    original = vanish(w, job)
    assert original.client_status == ClientStatus.UNKNOWN and len(w.live()) == 3
    assert w.run(job).plan.empty
    come_back(w, original)
    w.run(job)
    assert w.allocs[original.id].away_since_ns == 0 and len(w.live()) == 3 and w.run(job).plan.empty


def test_rf16_a_batch_allocation_that_a_drain_forced_out_is_not_replaced() -> None:
    from daemon.model.alloc import DesiredTransition

    job = make_job(make_group(count=2), type=JobType.BATCH)
    w = world(job)
    forced = w.live()[0]
    asked = DesiredTransition(migrate=True, migrate_disable_placement=True)
    w.change(forced.id, desired_transition=asked)
    assert not w.run(job).plan.placements and len(w.live()) == 1
    assert w.run(job).plan.empty
    w.finish_stopping()
    assert w.run(job).plan.empty
