"""Rollouts of system jobs: deployments, canaries as a percentage of nodes, promotion, failing."""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.model.alloc import Allocation, DesiredTransition
from daemon.model.enums import ClientStatus, DeploymentStatus, Eligibility, JobType
from daemon.model.job import Job
from daemon.model.policies import Constraint, UpdateStrategy
from tests.scheduler.fleetkit import MiniWorld, make_eval, make_group, make_job, make_node


def system(cpu: int = 500, canary: int = 0, max_parallel: int = 2, **facts: Any) -> Job:
    update = UpdateStrategy(max_parallel=max_parallel, canary=canary)
    return make_job(make_group(cpu=cpu, update=update), type=JobType.SYSTEM, **facts)


def changed(job: Job, cpu: int) -> Job:
    [group] = job.task_groups
    group = msgspec.structs.replace(group, tasks=make_group(cpu=cpu).tasks)
    return msgspec.structs.replace(
        job,
        version=job.version + 1,
        job_modify_index=job.job_modify_index + 1,
        task_groups=(group,),
    )


def settled(job: Job, nodes: int = 10, **facts: Any) -> MiniWorld:
    w = MiniWorld([make_node(str(i), **facts) for i in range(nodes)])
    w.run(job)
    w.all_running(healthy=True)
    w.run(job)
    assert w.deployment is not None and w.deployment.status == DeploymentStatus.SUCCESSFUL
    w.finish_stopping()
    return w


def versions(w: MiniWorld) -> dict[int, int]:
    found = [alloc.job_version for alloc in w.live()]
    return {version: found.count(version) for version in sorted(set(found))}


def canaries(w: MiniWorld) -> list[Allocation]:
    return [a for a in w.live() if a.deployment_status is not None and a.deployment_status.canary]


def test_a_system_job_has_a_deployment_of_its_feasible_nodes() -> None:
    rule = Constraint(l_target="${meta.k}", r_target="x")
    nodes = [make_node(str(i), meta={"k": "x"}) for i in range(3)]
    w = MiniWorld([*nodes, make_node("other"), make_node("full", meta={"k": "x"}, memory=10)])
    job = system(constraints=(rule,))
    plan = w.run(job).plan
    assert plan.deployment is not None and plan.deployment.task_groups["web"].desired_total == 3
    assert {alloc.deployment_id for alloc in w.live()} == {plan.deployment.id}
    w.all_running(healthy=True)
    [change] = w.run(job).plan.deployment_changes
    assert change.status == DeploymentStatus.SUCCESSFUL
    assert w.run(job).plan.empty


def test_sy6_a_rollout_goes_two_by_two_and_completes() -> None:
    job = system()
    w = settled(job)
    job = changed(job, 600)
    for step in range(1, 6):
        assert len(w.run(job).plan.allocs) == 2 and w.run(job).plan.empty
        assert versions(w).get(1) == 2 * step
        w.all_running(healthy=True)
    [change] = w.run(job).plan.deployment_changes
    assert change.status == DeploymentStatus.SUCCESSFUL


def test_canaries_are_a_percentage_of_the_nodes_and_at_most_max_parallel() -> None:
    job = system(canary=25, max_parallel=5)
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    assert len(canaries(w)) == 3 and versions(w) == {0: 7, 1: 3}
    assert w.deployment is not None and w.deployment.task_groups["web"].desired_canaries == 3
    assert w.deployment.task_groups["web"].desired_total == 10
    w.all_running(healthy=True)
    assert w.run(job).plan.empty
    w.promote()
    assert len(w.run(job).plan.allocs) == 5
    w.all_running(healthy=True)
    w.run(job)
    assert versions(w) == {1: 10}
    assert len(canaries(settled(system(canary=100, max_parallel=2)))) == 0
    job = system(canary=100, max_parallel=2)
    w = settled(job)
    w.run(changed(job, 600))
    assert len(canaries(w)) == 2


def test_while_canaries_run_other_nodes_get_the_version_before() -> None:
    job = system(canary=10)
    w = settled(job, 3)
    job = changed(job, 600)
    w.run(job)
    w.set_node(make_node("new"))
    w.run(job, evaluation=make_eval(job, id="n", node_id="node-new"))
    assert versions(w) == {0: 3, 1: 1}
    [canary] = canaries(w)
    w.judge(canary.id, False, client_status=ClientStatus.FAILED)
    w.run(job)
    assert versions(w) == {0: 4} and w.run(job).plan.empty


def test_a_failed_deployment_of_a_system_job_stands_still() -> None:
    job = system()
    w = settled(job)
    job = changed(job, 600)
    w.run(job)
    w.set_deployment(DeploymentStatus.FAILED)
    w.all_running(healthy=True)
    assert w.run(job).plan.empty
    third = changed(job, 700)
    w.run(third)
    assert w.deployment is not None and w.deployment.job_version == 2


def test_an_evaluation_of_one_node_neither_begins_nor_ends_a_rollout() -> None:
    job = system()
    w = MiniWorld([make_node("0"), make_node("1")])
    w.run(job)
    w.all_running(healthy=True)
    plan = w.run(job, evaluation=make_eval(job, id="n", node_id="node-0")).plan
    assert plan.empty
    w.set_node(make_node("2"))
    w.run(job)
    plan = w.run(job, evaluation=make_eval(job, id="m", node_id="node-2")).plan
    assert plan.empty


def test_sy5_a_drain_ends_the_allocation_when_it_is_asked_to_and_none_comes() -> None:
    job = system()
    w = settled(job, 2)
    drained = w.live()[0]
    node = w.nodes[drained.node_id]
    w.set_node(msgspec.structs.replace(node, scheduling_eligibility=Eligibility.INELIGIBLE))
    assert w.run(job).plan.empty
    w.change(drained.id, desired_transition=DesiredTransition(migrate=True))
    w.run(job)
    assert [alloc.id for alloc in w.live()] != [] and drained.id not in {alloc.id for alloc in w.live()}
    assert len(w.live()) == 1 and w.run(job).plan.empty


def test_a_stopped_system_job_cancels_its_rollout() -> None:
    job = system()
    w = MiniWorld([make_node("0")])
    w.run(job)
    [change] = w.run(msgspec.structs.replace(changed(job, 500), stop=True)).plan.deployment_changes
    assert change.status == DeploymentStatus.CANCELLED and not w.live()


def test_sy8_a_sysbatch_allocation_that_is_over_stays_so_until_the_spec_changes() -> None:
    job = make_job(make_group(), type=JobType.SYSBATCH)
    w = MiniWorld([make_node(str(i)) for i in range(3)])
    plan = w.run(job).plan
    assert plan.deployment is None and len(w.live()) == 3
    for alloc, status in zip(w.live(), (ClientStatus.COMPLETE, ClientStatus.FAILED), strict=False):
        w.change(alloc.id, client_status=status)
    assert w.run(job).plan.empty
    for node in list(w.nodes.values()):
        w.set_node(msgspec.structs.replace(node, attributes={"new": "1"}))
    assert w.run(job, evaluation=make_eval(job, id="n", node_id="node-0")).plan.empty
    job = changed(job, 600)
    w.run(job)
    assert versions(w) == {1: 3}
