"""Scheduler, plan check, state and tracker together: random histories, applied as the leader applies them."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.evaluation.plan_check import check_plan
from daemon.model.enums import ClientStatus, Eligibility, JobType, NodeStatus
from daemon.model.job import Job, TaskGroup
from daemon.model.node import Node
from daemon.model.plan import Plan
from daemon.model.policies import ReschedulePolicy
from daemon.model.resources import Network, Port
from daemon.scheduler.schedule import schedule
from daemon.state import commands as c
from daemon.state.changes import PlanApplied
from daemon.state.fleet import Fleet
from daemon.state.state import State
from daemon.state.tracker import FleetTracker
from daemon.state.view import eval_input
from tests.scheduler.fleetkit import NOW, SECOND, make_eval, make_group, make_job, make_node

DYNAMIC = (Network(dynamic_ports=(Port(label="http"),)),)
STATIC = (Network(reserved_ports=(Port(label="http", value=8080),)),)


class Cluster:
    """One server without a log: commands go straight into the state."""

    def __init__(self, nodes: int) -> None:
        self.state = State()
        self.tracker = FleetTracker()
        self.worker = Fleet()
        self.now = NOW
        self.evals = 0
        self.jobs: dict[str, Job] = {}
        for i in range(nodes):
            self.register(make_node(str(i), cpu=2500, memory=1500, port_range=(20000, 20004)))

    def apply(self, command: c.AnyCommand) -> Any:
        changes = self.state.apply(self.state.index + 1, command)
        assert not isinstance(changes.result, Exception), changes.result
        self.tracker.observe(changes)
        return changes.result

    def register(self, node: Node) -> None:
        self.apply(c.NodeRegister(time_ns=self.now, node=node))
        if node.status == NodeStatus.READY:
            self.status(node.id, NodeStatus.READY)

    def status(self, node_id: str, status: NodeStatus) -> None:
        self.apply(c.NodeStatusUpdate(time_ns=self.now, node_ids=(node_id,), status=status))

    def submit(self, job: Job) -> None:
        self.apply(c.JobRegister(time_ns=self.now, job=job))
        self.jobs[job.id] = job

    def plan(self, job_id: str) -> Plan:
        """A worker's plan, on the view that it has now."""
        self.worker.apply(self.tracker.delta_since(self.worker.sequence, self.worker.epoch))
        self.evals += 1
        job = self.state.job("default", job_id)
        evaluation = make_eval(job, id=f"eval-{self.evals}", job_id=job_id)
        return schedule(eval_input(self.state, evaluation, self.now, self.evals, 1), self.worker).plan

    def commit(self, plan: Plan, lost: str = "") -> bool:
        """Check, reserve, apply, release; the node `lost` dies before the apply. True when all of it was stored."""
        checked = check_plan(self.tracker, plan, self.state.alloc)
        accepted = checked.plan
        if accepted.empty:
            return checked.result.full
        ticket = self.tracker.reserve(accepted)
        if lost:
            self.status(lost, NodeStatus.DOWN)
        result = self.apply(
            c.PlanApply(
                time_ns=self.now,
                eval_id=accepted.eval_id,
                namespace=accepted.namespace,
                job_id=accepted.job_id,
                job_version=accepted.job_version,
                blocks=accepted.blocks,
                allocs=accepted.allocs,
                node_epochs=accepted.node_epochs,
                stops=accepted.stops,
                in_place=accepted.in_place,
                marks=accepted.marks,
            )
        )
        self.tracker.release(ticket)
        assert isinstance(result, PlanApplied)
        return checked.result.full and result.full

    def settle(self) -> None:
        """Evaluate every job until nothing changes."""
        for _ in range(12):
            plans = [self.plan(job_id) for job_id in self.jobs]
            if all(plan.empty for plan in plans):
                self.check_counts()
                return
            for plan in plans:
                self.commit(plan)
        raise AssertionError("the jobs never come to rest")

    def check(self) -> None:
        recount = FleetTracker()
        recount.rebuild(self.state.index, self.state.nodes(), self.state.allocs())
        mine, fresh = self.tracker.fleet, recount.fleet
        wanted_ports: dict[str, list[int]] = {}
        for node_id, row in fresh.row_of.items():
            ours = mine.row_of[node_id]
            assert (mine.wanted[:, ours] == fresh.wanted[:, row]).all(), node_id
            assert (mine.stopping[:, ours] == fresh.stopping[:, row]).all(), node_id
            assert mine.own[:, ours].sum() == 0
            assert mine.ports.get(ours, set()) == fresh.ports.get(row, set())
            assert mine.free_dynamic[ours] == fresh.free_dynamic[row]
            if mine.alive[ours]:
                assert (mine.wanted[:, ours] <= mine.capacity[:, ours]).all(), "over-committed"
        for alloc in self.state.allocs():
            if not alloc.terminal:
                ports = [port.value for port in alloc.allocated_resources.shared.ports]
                wanted_ports.setdefault(alloc.node_id, []).extend(ports)
        for ports in wanted_ports.values():
            assert len(ports) == len(set(ports)), "a port was given twice"

    def check_counts(self) -> None:
        for job in self.jobs.values():
            for group in job.task_groups:
                live = [
                    a
                    for a in self.state.allocs_by_job("default", job.id)
                    if a.task_group == group.name and not a.terminal
                ]
                assert len(live) <= group.count


def group_of(name: str, count: int, cpu: int, ports: int) -> TaskGroup:
    network = ((), DYNAMIC, STATIC)[ports]
    policy = ReschedulePolicy(delay_ns=5 * SECOND)
    return make_group(name, count, cpu=cpu, memory=100, networks=network, reschedule_policy=policy)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("submit"), st.integers(0, 2), st.integers(0, 6), st.integers(1, 9), st.integers(0, 2)
        ),
        st.tuples(st.just("race"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("stale"), st.integers(0, 2), st.integers(0, 3)),
        st.tuples(st.just("late"), st.integers(0, 2), st.integers(0, 3)),
        st.tuples(st.just("node"), st.integers(0, 3), st.sampled_from([NodeStatus.DOWN, NodeStatus.READY])),
        st.tuples(st.just("eligible"), st.integers(0, 3), st.sampled_from(list(Eligibility))),
        st.tuples(
            st.just("client"),
            st.integers(0, 30),
            st.sampled_from([ClientStatus.RUNNING, ClientStatus.FAILED, ClientStatus.COMPLETE]),
        ),
        st.tuples(st.just("settle")),
        st.tuples(st.just("later")),
    ),
    max_size=16,
)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_any_history_keeps_the_invariants(steps: list[tuple[Any, ...]]) -> None:
    cluster = Cluster(4)
    for step in steps:
        match step:
            case ("submit", n, count, cpu, ports):
                kind = JobType.BATCH if n == 2 else JobType.SERVICE
                cluster.submit(make_job(group_of("web", count, 100 * cpu, ports), id=f"job-{n}", type=kind))
            case ("race", a, b) if f"job-{a}" in cluster.jobs and f"job-{b}" in cluster.jobs:
                # two workers plan on the same view.
                plans = [cluster.plan(f"job-{n}") for n in dict.fromkeys((a, b))]
                for plan in plans:
                    cluster.commit(plan)
            case ("stale", n, node) if f"job-{n}" in cluster.jobs:
                plan = cluster.plan(f"job-{n}")
                cluster.status(f"node-{node}", NodeStatus.DOWN)
                cluster.commit(plan)
            case ("late", n, node) if f"job-{n}" in cluster.jobs:
                cluster.commit(cluster.plan(f"job-{n}"), lost=f"node-{node}")
            case ("node", n, status):
                cluster.status(f"node-{n}", status)
            case ("eligible", n, word):
                cluster.apply(c.NodeEligibility(time_ns=cluster.now, node_id=f"node-{n}", eligibility=word))
            case ("client", n, status):
                running = sorted(
                    (a for a in cluster.state.allocs() if not a.client_terminal), key=lambda a: a.id
                )
                if running:
                    alloc = running[n % len(running)]
                    update = c.ClientUpdate(alloc_id=alloc.id, client_status=status)
                    cluster.apply(
                        c.AllocClientUpdate(time_ns=cluster.now, node_id=alloc.node_id, updates=(update,))
                    )
            case ("settle",):
                cluster.settle()
            case ("later",):
                cluster.now += 60 * SECOND
        cluster.check()
    cluster.now += 7200 * SECOND
    cluster.settle()
    cluster.check()


def test_what_was_placed_reads_back_with_its_usage_and_ports() -> None:
    cluster = Cluster(1)
    group = msgspec.structs.replace(
        group_of("web", 2, 300, 0), networks=(Network(dynamic_ports=(Port(label="http", to=-1),)),)
    )
    cluster.submit(make_job(group))
    cluster.settle()
    for alloc in cluster.state.allocs():
        [port] = alloc.allocated_resources.shared.ports
        assert port.to == port.value and not port.static
        assert alloc.allocated_resources.usage.cpu == 300
