"""Register, stop, purge; versions; the derived status."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, EvalStatus, JobStatus, JobType
from daemon.model.errors import Conflict, InvalidInput, NotFound
from daemon.model.job import JobSource
from daemon.model.policies import PeriodicConfig
from daemon.state.changes import JobRegistered
from daemon.state.commands import (
    AllocClientUpdate,
    ClientUpdate,
    Collect,
    EvalsUpsert,
    JobDeregister,
    JobRegister,
)
from daemon.state.job_versions import same_spec, trimmed_versions
from tests.state.state_factory import World, alloc, block, done, evaluation, job, plan, uid


def register(world: World, **facts):
    command = {"enforce_index": None, "evaluation": None, "source": None}
    for key in list(command):
        command[key] = facts.pop(key, None)
    return world.apply(JobRegister(time_ns=5, job=job(**facts), **command))


def test_first_register_makes_version_zero():
    world = World()
    changes = register(world, evaluation=evaluation(1), source=JobSource(source="job {}"))
    stored = world.state.job("default", "web")
    assert changes.result == JobRegistered(job_modify_index=1, version=0, changed=True, eval_id=uid(1, 2))
    assert (stored.version, stored.create_index, stored.job_modify_index) == (0, 1, 1)
    assert stored.status == JobStatus.PENDING
    assert world.state.eval(uid(1, 2)).job_modify_index == 1
    assert changes.jobs == [(None, stored)]
    assert changes.tables == ("jobs", "evals", "summaries")
    assert world.state.job_source("default", "web", 0).source == "job {}"


def test_an_equal_spec_makes_no_version_but_an_evaluation():
    """VR1."""
    world = World()
    register(world)
    changes = register(world, evaluation=evaluation(1), submit_time_ns=77, version=9, stable=True)
    assert changes.result == JobRegistered(job_modify_index=1, version=0, changed=False, eval_id=uid(1, 2))
    assert world.state.eval(uid(1, 2)) is not None
    assert len(world.state.job_versions("default", "web")) == 1


def test_a_changed_spec_makes_a_version():
    world = World()
    register(world, count=1)
    changes = register(world, count=2)
    assert changes.result.version == 1
    assert [j.version for j in world.state.job_versions("default", "web")] == [1, 0]
    assert world.state.job_version("default", "web", 0).task_groups[0].count == 1
    assert world.state.job("default", "web").create_index == 1


@pytest.mark.parametrize(
    ("exists", "expected", "refused"),
    [(False, 0, False), (False, 3, True), (True, 0, True), (True, 1, False), (True, 2, True)],
)
def test_enforced_index(exists, expected, refused):
    world = World()
    if exists:
        register(world)
    before = world.state.job("default", "web")
    changes = register(world, count=9, enforce_index=expected, evaluation=evaluation(1))
    if refused:
        assert isinstance(changes.result, Conflict)
        assert world.state.job("default", "web") == before
        assert world.state.eval(uid(1, 2)) is None
        assert changes.empty
    else:
        assert changes.result.changed


@pytest.mark.parametrize("facts", [{"type": JobType.BATCH}, {"periodic": PeriodicConfig(specs=("@daily",))}])
def test_the_kind_of_a_job_never_changes(facts):
    world = World()
    register(world)
    assert isinstance(register(world, **facts).result, InvalidInput)


def test_stop_is_a_version_and_keeps_the_record():
    world = World()
    register(world)
    changes = world.apply(
        JobDeregister(time_ns=6, namespace="default", job_id="web", evaluation=evaluation(2))
    )
    stored = world.state.job("default", "web")
    assert changes.result.version == 1
    assert stored.stop
    assert stored.status == JobStatus.PENDING  # the evaluation is not over
    world.apply(EvalsUpsert(time_ns=7, evaluations=(done(2),)))
    assert world.state.job("default", "web").status == JobStatus.DEAD
    again = world.apply(JobDeregister(time_ns=8, namespace="default", job_id="web"))
    assert not again.result.changed


def test_register_after_stop_starts_anew():
    world = World()
    register(world)
    world.apply(JobDeregister(time_ns=6, namespace="default", job_id="web"))
    assert register(world, evaluation=evaluation(3)).result.version == 2
    assert world.state.job("default", "web").status == JobStatus.PENDING


def test_purge_takes_everything_at_once():
    """VR5."""
    world = World()
    on, of = world.node(1), world.job()
    world.apply(EvalsUpsert(time_ns=2, evaluations=(evaluation(4),)))
    world.apply(plan(of, blocks=(block([0, 1], [on], of),), allocs=(alloc(7, on, of),), on=[on]))
    changes = world.apply(JobDeregister(time_ns=6, namespace="default", job_id="web", purge=True))
    assert world.state.job("default", "web") is None
    assert world.state.alloc_count == 0
    assert list(world.state.allocs_by_node(on.id)) == []
    assert world.state.node_alloc_versions(on.id) == {}
    assert world.state.eval(uid(4, 2)).status == EvalStatus.COMPLETE
    assert {before.id for before, after in changes.allocs} == {uid(n, 3) for n in (0, 1, 7)}
    assert world.state.summary("default", "web").summary == {}
    assert "summaries" in changes.tables


def test_deregister_of_an_unknown_job():
    changes = World().apply(JobDeregister(time_ns=6, namespace="default", job_id="web"))
    assert isinstance(changes.result, NotFound)


def test_seven_versions_keep_six_and_the_newest_stable_one():
    """VR2."""
    versions = tuple(job(version=n, stable=n in (0, 1)) for n in reversed(range(8)))[1:]
    kept = trimmed_versions(versions, {})
    assert [j.version for j in kept] == [6, 5, 4, 3, 1]
    assert [j.version for j in trimmed_versions(versions, {0: 2})] == [6, 5, 4, 3, 1, 0]


def test_versions_go_when_the_last_allocation_does():
    world = World()
    on, of = world.node(1), world.job(count=1)
    world.apply(plan(of, allocs=(alloc(0, on, of),), on=[on]))
    for count in range(2, 10):
        register(world, count=count, source=JobSource(source=str(count)))
    assert [j.version for j in world.state.job_versions("default", "web")] == [8, 7, 6, 5, 4, 3, 0]
    report = ClientUpdate(alloc_id=uid(0, 3), client_status=ClientStatus.FAILED)
    world.apply(AllocClientUpdate(time_ns=8, node_id=on.id, updates=(report,)))
    world.apply(Collect(time_ns=9, allocs=(uid(0, 3),)))
    assert [j.version for j in world.state.job_versions("default", "web")] == [8, 7, 6, 5, 4, 3]
    assert world.state.job_source("default", "web", 2) is None
    assert world.state.job_source("default", "web", 3) is not None


def test_same_spec_ignores_what_is_not_asked_for():
    assert same_spec(job(), job(version=3, stable=True, status=JobStatus.DEAD, submit_time_ns=1))
    assert not same_spec(job(), job(priority=51))


def test_status_follows_allocations_and_evaluations():
    world = World()
    on, of = world.node(1), world.job(type=JobType.BATCH)
    assert of.status == JobStatus.PENDING
    world.apply(EvalsUpsert(time_ns=2, evaluations=(evaluation(1),)))
    assert world.state.job("default", "web").status == JobStatus.PENDING
    first: Allocation = alloc(0, on, of)
    changes = world.apply(plan(of, allocs=(first,), on=[on], eval_id=uid(1, 2), evaluations=(done(1),)))
    assert world.state.job("default", "web").status == JobStatus.RUNNING
    assert [(b.status, a.status) for b, a in changes.jobs] == [(JobStatus.PENDING, JobStatus.RUNNING)]
    report = ClientUpdate(alloc_id=first.id, client_status=ClientStatus.COMPLETE)
    world.apply(AllocClientUpdate(time_ns=3, node_id=on.id, updates=(report,)))
    assert world.state.job("default", "web").status == JobStatus.DEAD
    world.apply(Collect(time_ns=4, allocs=(first.id,), evals=(uid(1, 2),)))
    stored = world.state.job("default", "web")
    assert stored.status == JobStatus.DEAD
    assert stored.job_modify_index == of.job_modify_index < stored.modify_index


def test_a_system_job_runs_until_it_is_stopped():
    world = World()
    assert world.job(type=JobType.SYSTEM).status == JobStatus.RUNNING
    world.apply(JobDeregister(time_ns=6, namespace="default", job_id="web"))
    assert world.state.job("default", "web").status == JobStatus.DEAD


def test_jobs_by_namespace_and_prefix():
    world = World()
    for job_id, namespace in (("web", "default"), ("web-2", "default"), ("web", "other")):
        world.apply(JobRegister(time_ns=1, job=replace(job(job_id), namespace=namespace)))
    assert sorted(j.id for j in world.state.jobs("default")) == ["web", "web-2"]
    assert [j.id for j in world.state.jobs("default", "web-")] == ["web-2"]
    assert len(list(world.state.jobs())) == 3
    assert world.state.resolve_prefix("jobs", "we") == ["web", "web-2"]
