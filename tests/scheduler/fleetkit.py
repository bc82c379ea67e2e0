"""Builders of nodes, jobs, fleets and inputs for the tests of the scheduler and the evaluation cores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from daemon.model.alloc import Allocation, AllocBlock, AllocHealth
from daemon.model.deployment import Deployment
from daemon.model.enums import ClientStatus, DeploymentStatus, DesiredStatus, JobType, NodeStatus, Trigger
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.node import DriverInfo, Node, NodeNetwork, NodeResources
from daemon.model.plan import Attempt, EvalInput, NodeView, Plan
from daemon.model.policies import EphemeralDisk
from daemon.model.resources import Resources
from daemon.scheduler.schedule import schedule
from daemon.state.fleet import Fleet
from daemon.state.tracker import FleetTracker

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


def make_node(name: str, *, cpu: int = 4000, memory: int = 8192, disk: int = 100_000, **facts: Any) -> Node:
    """A ready node with the mock driver."""
    networks = (NodeNetwork(device="eth0", ip="10.0.0.1"),)
    port_range = facts.pop("port_range", (20000, 32000))
    fields: dict[str, Any] = {
        "id": f"node-{name}",
        "name": name,
        "status": NodeStatus.READY,
        "drivers": {"mock_driver": DriverInfo(detected=True, healthy=True)},
        "computed_class": "c1",
        "epoch": 1,
        "node_resources": NodeResources(
            cpu_shares=cpu,
            memory_mb=memory,
            disk_mb=disk,
            networks=networks,
            min_dynamic_port=port_range[0],
            max_dynamic_port=port_range[1],
        ),
    }
    return Node(**(fields | facts))


def make_task(name: str = "main", *, cpu: int = 500, memory: int = 256, **facts: Any) -> Task:
    resources = facts.pop("resources", Resources(cpu=cpu, memory_mb=memory))
    return Task(**({"name": name, "driver": "mock_driver", "resources": resources} | facts))


def make_group(
    name: str = "web", count: int = 1, *, cpu: int = 500, memory: int = 256, **facts: Any
) -> TaskGroup:
    fields: dict[str, Any] = {
        "name": name,
        "count": count,
        "tasks": (make_task(cpu=cpu, memory=memory),),
        "ephemeral_disk": EphemeralDisk(size_mb=100),
    }
    return TaskGroup(**(fields | facts))


def make_job(*groups: TaskGroup, **facts: Any) -> Job:
    fields: dict[str, Any] = {
        "id": "job",
        "name": "job",
        "type": JobType.SERVICE,
        "task_groups": groups or (make_group(),),
        "job_modify_index": 10,
    }
    return Job(**(fields | facts))


def make_eval(job: Job | None, **facts: Any) -> Evaluation:
    fields: dict[str, Any] = {
        "id": "eval-1",
        "job_id": job.id if job else "job",
        "namespace": job.namespace if job else "default",
        "type": job.type.value if job else "service",
        "priority": job.priority if job else 50,
        "triggered_by": Trigger.JOB_REGISTER,
    }
    return Evaluation(**(fields | facts))


def make_fleet(nodes: Iterable[Node]) -> Fleet:
    tracker = FleetTracker()
    tracker.rebuild(1, nodes, ())
    return tracker.fleet


@dataclass
class FakeChanges:
    index: int = 1
    nodes: list[tuple[Node | None, Node | None]] = field(default_factory=list)
    allocs: list[tuple[Allocation | None, Allocation | None]] = field(default_factory=list)
    blocks: list[AllocBlock] = field(default_factory=list)


class MiniWorld:
    """Nodes and allocations of one job, with plans applied the simple way: enough to run passes in a row."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.allocs: dict[str, Allocation] = {}
        self.jobs: dict[int, Job] = {}
        #: oldest first.
        self.deployments: dict[str, Deployment] = {}
        self.tracker = FleetTracker()
        self.tracker.rebuild(1, self.nodes.values(), ())
        self.index = 1
        self.now = NOW
        self.evals = 0

    def set_node(self, node: Node) -> None:
        before = self.nodes.get(node.id)
        if before is not None:
            node = msgspec.structs.replace(node, epoch=before.epoch + 1)
        self.nodes[node.id] = node
        self.index += 1
        self.tracker.observe(FakeChanges(self.index, nodes=[(before, node)]))

    def remove_node(self, node_id: str) -> None:
        before = self.nodes.pop(node_id)
        self.index += 1
        self.tracker.observe(FakeChanges(self.index, nodes=[(before, None)]))

    def set_alloc(self, alloc: Allocation) -> None:
        self.index += 1
        self.tracker.observe(FakeChanges(self.index, allocs=[(self.allocs.get(alloc.id), alloc)]))
        self.allocs[alloc.id] = alloc

    def change(self, alloc_id: str, **facts: Any) -> Allocation:
        alloc = msgspec.structs.replace(self.allocs[alloc_id], **facts)
        self.set_alloc(alloc)
        return alloc

    def input(self, job: Job | None, **facts: Any) -> EvalInput:
        if job is not None:
            self.jobs[job.version] = job
        self.evals += 1
        evaluation = facts.pop("evaluation", None) or make_eval(job, id=f"eval-{self.evals}")
        node_ids = dict.fromkeys(alloc.node_id for alloc in self.allocs.values())
        views = tuple(
            NodeView(
                id=n,
                status=self.nodes[n].status,
                draining=self.nodes[n].drain_strategy is not None,
                ready=self.nodes[n].ready,
            )
            for n in node_ids
            if n in self.nodes
        )
        old = tuple(j for version, j in self.jobs.items() if job is None or version != job.version)
        fields: dict[str, Any] = {
            "evaluation": evaluation,
            "job": job,
            "old_jobs": old,
            "allocs": tuple(self.allocs.values()),
            "nodes": views,
            "deployment": self.deployment,
            "index": self.index,
            "now_ns": self.now,
            "seed": 7,
        }
        return EvalInput(**(fields | facts))

    def run(self, job: Job | None, **facts: Any) -> Attempt:
        """One pass, with its plan applied."""
        attempt = schedule(self.input(job, **facts), self.tracker.fleet)
        self.apply(attempt.plan)
        return attempt

    @property
    def deployment(self) -> Deployment | None:
        """The latest."""
        return next(reversed(self.deployments.values()), None)

    def set_deployment(self, status: DeploymentStatus) -> None:
        """What an operator or the watcher does to the latest."""
        latest = self.deployment
        assert latest is not None
        self.deployments[latest.id] = msgspec.structs.replace(latest, status=status)

    def promote(self) -> None:
        """Promote every group: the marks of its canaries fall."""
        latest = self.deployment
        assert latest is not None
        groups = {
            name: msgspec.structs.replace(group, promoted=group.desired_canaries > 0)
            for name, group in latest.task_groups.items()
        }
        self.deployments[latest.id] = msgspec.structs.replace(latest, task_groups=groups)
        for alloc in list(self.allocs.values()):
            health = alloc.deployment_status
            if alloc.deployment_id == latest.id and health is not None and health.canary:
                self.change(alloc.id, deployment_status=msgspec.structs.replace(health, canary=False))

    def judge(self, alloc_id: str, healthy: bool, **facts: Any) -> None:
        """A node's word on health, counted where it is news."""
        alloc = self.allocs[alloc_id]
        before = alloc.deployment_status or AllocHealth()
        self.change(alloc_id, deployment_status=msgspec.structs.replace(before, healthy=healthy), **facts)
        if alloc.deployment_id not in self.deployments or before.healthy == healthy:
            return
        field_ = "healthy_allocs" if healthy else "unhealthy_allocs"
        self._count(alloc.deployment_id, alloc.task_group, **{field_: 1})
        if before.healthy:
            self._count(alloc.deployment_id, alloc.task_group, healthy_allocs=-1)

    def _count(self, deployment_id: str, group: str, canary: str = "", **more: int) -> None:
        deployment = self.deployments[deployment_id]
        state = deployment.task_groups[group]
        counted = {name: getattr(state, name) + by for name, by in more.items()}
        canaries = (*state.placed_canaries, canary) if canary else state.placed_canaries
        state = msgspec.structs.replace(state, placed_canaries=canaries, **counted)
        groups = deployment.task_groups | {group: state}
        self.deployments[deployment_id] = msgspec.structs.replace(deployment, task_groups=groups)

    def _placed(self, alloc: Allocation) -> None:
        self.set_alloc(alloc)
        if alloc.deployment_id:
            canary = alloc.deployment_status is not None and alloc.deployment_status.canary
            self._count(alloc.deployment_id, alloc.task_group, alloc.id if canary else "", placed_allocs=1)

    def apply(self, plan: Plan) -> None:
        for change in plan.deployment_changes:
            before = self.deployments[change.deployment_id]
            assert before.active
            self.deployments[before.id] = msgspec.structs.replace(before, status=change.status)
        if plan.deployment is not None:
            self.deployments[plan.deployment.id] = plan.deployment
        for stop in plan.stops:
            self.change(
                stop.alloc_id,
                desired_status=stop.desired_status,
                desired_description=stop.desired_description,
                **({"client_status": stop.client_status} if stop.client_status else {}),
                **({"away_since_ns": self.now} if stop.client_status == ClientStatus.LOST else {}),
                **({"followup_eval_id": stop.followup_eval_id} if stop.followup_eval_id else {}),
            )
        for update in plan.in_place:
            self.change(
                update.alloc_id,
                job_version=update.job_version,
                job_spec_index=update.job_spec_index,
                deployment_id=update.deployment_id,
                deployment_status=None,
            )
        for mark in plan.marks:
            facts: dict[str, Any] = {}
            if mark.unknown:
                facts |= {"client_status": ClientStatus.UNKNOWN, "away_since_ns": self.now}
            if mark.reconnected:
                facts |= {"away_since_ns": 0, "next_allocation": ""}
            if mark.followup_eval_id is not None:
                facts["followup_eval_id"] = mark.followup_eval_id
            if mark.reschedule_tracker is not None:
                facts["reschedule_tracker"] = mark.reschedule_tracker
            self.change(mark.alloc_id, **facts)
        for alloc in plan.allocs:
            self._placed(alloc)
            if alloc.previous_allocation in self.allocs:
                self.change(alloc.previous_allocation, next_allocation=alloc.id)
        for block in plan.blocks:
            for i in range(block.count):
                self._placed(block.row(i))

    def live(self) -> list[Allocation]:
        """Allocations wanted and not over, by name."""
        return sorted((a for a in self.allocs.values() if not a.terminal), key=lambda a: (a.name, a.id))

    def all_running(self, healthy: bool | None = None) -> None:
        for alloc in self.live():
            if healthy is None:
                self.change(alloc.id, client_status=ClientStatus.RUNNING)
            else:
                self.judge(alloc.id, healthy, client_status=ClientStatus.RUNNING)

    def finish_stopping(self) -> None:
        """Nodes report the end of everything that the servers stopped."""
        for alloc in list(self.allocs.values()):
            if alloc.desired_status != DesiredStatus.RUN and not alloc.client_terminal:
                self.change(alloc.id, client_status=ClientStatus.COMPLETE)
