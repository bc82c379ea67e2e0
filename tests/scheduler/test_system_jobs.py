"""System jobs: one allocation on every node that can hold it."""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.model.alloc import AllocHealth, DesiredTransition
from daemon.model.enums import ClientStatus, Eligibility, EvalStatus, JobType, NodeStatus
from daemon.model.job import Job
from daemon.model.node import DrainStrategy
from daemon.model.policies import Constraint, UpdateStrategy
from daemon.model.resources import Network, Port
from tests.scheduler.fleetkit import MiniWorld, make_eval, make_group, make_job, make_node


def system(**facts: Any) -> Job:
    group = facts.pop("group", None) or make_group()
    return make_job(group, **({"type": JobType.SYSTEM} | facts))


def where(w: MiniWorld) -> list[str]:
    return sorted(alloc.node_id for alloc in w.live())


def newer(job: Job, **facts: Any) -> Job:
    return msgspec.structs.replace(
        job, version=job.version + 1, job_modify_index=job.job_modify_index + 1, **facts
    )


def test_sy1_one_each_and_a_new_node_by_its_own_evaluation() -> None:
    w = MiniWorld([make_node(str(i)) for i in range(10)])
    job = system()
    w.run(job)
    assert where(w) == sorted(w.nodes)
    assert {alloc.name for alloc in w.live()} == {"job.web[0]"}
    w.set_node(make_node("new"))
    w.set_node(make_node("other"))
    w.run(job, evaluation=make_eval(job, id="e2", node_id="node-new"))
    assert "node-new" in where(w) and "node-other" not in where(w)
    w.run(job)
    assert where(w) == sorted(w.nodes)
    assert w.run(job).plan.empty


def test_sy2_a_filtered_node_is_no_failure_all_filtered_is_one() -> None:
    rule = Constraint(l_target="${meta.k}", r_target="x")
    w = MiniWorld([make_node("a", meta={"k": "x"}), make_node("b")])
    attempt = w.run(system(constraints=(rule,)))
    assert where(w) == ["node-a"] and not attempt.evaluation.failed_tg_allocs and not attempt.new_evals
    attempt = MiniWorld([make_node("b")]).run(system(constraints=(rule,)))
    assert attempt.evaluation.failed_tg_allocs["web"].constraint_filtered == {"${meta.k} = x": 1}
    assert [e.node_id for e in attempt.new_evals] == [""]


def test_a_full_node_blocks_an_evaluation_of_its_own() -> None:
    w = MiniWorld([make_node("a"), make_node("b", memory=100)])
    job = system()
    attempt = w.run(job)
    [blocked] = attempt.new_evals
    assert blocked.node_id == "node-b" and blocked.status == EvalStatus.BLOCKED
    metric = attempt.evaluation.failed_tg_allocs["web"]
    assert metric.dimension_exhausted == {"memory": 1} and metric.nearest_miss is not None
    assert metric.nearest_miss.node_id == "node-b"
    again = w.run(job, evaluation=blocked)
    assert again.evaluation.status == EvalStatus.BLOCKED and not again.new_evals
    w.set_node(make_node("b"))
    w.run(job, evaluation=blocked)
    assert where(w) == ["node-a", "node-b"]


def test_sy4_an_ineligible_node_keeps_its_allocation_until_the_spec_changes() -> None:
    w = MiniWorld([make_node("a"), make_node("b")])
    job = system()
    w.run(job)
    w.set_node(make_node("a", scheduling_eligibility=Eligibility.INELIGIBLE))
    assert w.run(job).plan.empty
    w.run(newer(job, task_groups=(make_group(cpu=700),)))
    assert where(w) == ["node-b"]


def test_sy6_two_at_a_time_by_health() -> None:
    w = MiniWorld([make_node(str(i)) for i in range(6)])
    update = UpdateStrategy(max_parallel=2)
    job = system(group=make_group(update=update))
    w.run(job)
    w.all_running(healthy=True)
    job = newer(job, task_groups=(make_group(cpu=600, update=update),))
    for step in range(1, 4):
        attempt = w.run(job)
        assert len(attempt.plan.allocs) == 2 and len(where(w)) == 6
        for stop in attempt.plan.stops:
            assert w.allocs[stop.replaced_by].node_id == stop.node_id
        assert w.run(job).plan.empty
        for alloc in w.live():
            if alloc.job_version == 1:
                w.change(alloc.id, deployment_status=AllocHealth(healthy=True))
        assert sum(alloc.job_version == 1 for alloc in w.live()) == 2 * step


def test_sy5_a_draining_node_keeps_its_allocation_even_when_the_spec_changes() -> None:
    w = MiniWorld([make_node("a"), make_node("b")])
    job = system()
    w.run(job)
    w.set_node(make_node("a", drain_strategy=DrainStrategy(), scheduling_eligibility=Eligibility.INELIGIBLE))
    w.run(newer(job, meta={"changed": "1"}))
    assert "node-a" in where(w)
    assert [alloc.job_version for alloc in w.live() if alloc.node_id == "node-a"] == [0]


def test_in_place_lost_stopped_and_untargeted() -> None:
    w = MiniWorld([make_node("a"), make_node("b", datacenter="dc2"), make_node("c")])
    job = system()
    w.run(job)
    attempt = w.run(newer(job, datacenters=("dc1",)))
    assert len(attempt.plan.in_place) == 2 and where(w) == ["node-a", "node-c"]
    w.set_node(make_node("c", status=NodeStatus.DOWN))
    attempt = w.run(newer(newer(job, datacenters=("dc1",))))
    assert [s.client_status for s in attempt.plan.stops] == [ClientStatus.LOST]
    assert where(w) == ["node-a"]
    w.run(newer(newer(newer(job, stop=True))))
    assert where(w) == []


def test_a_stopped_allocation_comes_back_on_its_node() -> None:
    w = MiniWorld([make_node("a")])
    job = system()
    w.run(job)
    old = w.live()[0]
    w.change(old.id, desired_transition=DesiredTransition(migrate=True))
    w.run(job)
    [fresh] = w.live()
    assert fresh.id != old.id and fresh.node_id == "node-a"


def test_sysbatch_does_not_run_again_until_its_spec_changes() -> None:
    w = MiniWorld([make_node("a"), make_node("b")])
    job = system(type=JobType.SYSBATCH)
    w.run(job)
    for alloc, status in zip(w.live(), (ClientStatus.COMPLETE, ClientStatus.FAILED), strict=True):
        w.change(alloc.id, client_status=status)
    assert w.run(job).plan.empty
    w.run(newer(job))
    assert where(w) == ["node-a", "node-b"]


def test_static_ports_of_two_groups_and_distinct_property() -> None:
    w = MiniWorld(
        [make_node("a", meta={"r": "1"}), make_node("b", meta={"r": "1"}), make_node("c", meta={"r": "2"})]
    )
    network = (Network(reserved_ports=(Port(label="p", value=99),)),)
    job = system(
        group=make_group(networks=network),
        constraints=(Constraint(operand="distinct_property", l_target="${meta.r}"),),
    )
    w.run(job)
    racks = [w.nodes[node].meta["r"] for node in where(w)]
    assert sorted(racks) == ["1", "2"]
    assert w.run(job).plan.empty


def test_a_limit_of_two_per_value_is_one_on_each_of_two_nodes() -> None:
    w = MiniWorld([make_node(str(i), meta={"r": "1"}) for i in range(3)])
    rule = Constraint(operand="distinct_property", l_target="${meta.r}", r_target="2")
    w.run(system(constraints=(rule,)))
    assert len(set(where(w))) == len(where(w)) == 2
