"""Builders of rows and commands for the tests of state and consensus."""

from __future__ import annotations

import struct
import uuid
from typing import Any

from daemon.model.alloc import Allocation, AllocBlock, u32_column
from daemon.model.enums import EvalStatus, JobType, NodeStatus, Trigger
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.node import Node
from daemon.model.plan import AllocStop
from daemon.model.resources import AllocatedResources, AllocatedTask
from daemon.state.changes import Changes
from daemon.state.commands import AnyCommand, JobRegister, NodeRegister, PlanApply
from daemon.state.state import State

RESOURCES = AllocatedResources(tasks={"web": AllocatedTask(cpu_shares=100, memory_mb=64)})


def uid(number: int, kind: int = 0) -> str:
    """A repeatable id."""
    return str(uuid.UUID(bytes=uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}/{number}").bytes))


def node(number: int, **facts: Any) -> Node:
    return Node(id=uid(number, 1), name=f"node-{number}", status=NodeStatus.READY, **facts)


def job(job_id: str = "web", count: int = 3, **facts: Any) -> Job:
    group = TaskGroup(name="g", count=count, tasks=(Task(name="web", driver="mock_driver"),))
    return Job(id=job_id, **{"task_groups": (group,), **facts})


def evaluation(number: int, job_id: str = "web", **facts: Any) -> Evaluation:
    facts.setdefault("triggered_by", Trigger.JOB_REGISTER)
    facts.setdefault("type", JobType.SERVICE)
    return Evaluation(id=uid(number, 2), job_id=job_id, **facts)


def done(number: int, job_id: str = "web", **facts: Any) -> Evaluation:
    return evaluation(number, job_id, status=EvalStatus.COMPLETE, **facts)


def alloc(number: int, on: Node, of: Job, **facts: Any) -> Allocation:
    return Allocation(
        id=uid(number, 3),
        name=f"{of.id}.g[{number}]",
        job_id=of.id,
        job_version=facts.pop("job_version", of.version),
        job_spec_index=of.job_modify_index,
        task_group="g",
        node_id=on.id,
        node_name=on.name,
        allocated_resources=RESOURCES,
        **facts,
    )


def block(numbers: list[int], on: list[Node], of: Job, **facts: Any) -> AllocBlock:
    """Row i goes to node i modulo the nodes."""
    return AllocBlock(
        namespace="default",
        job_id=of.id,
        job_version=of.version,
        job_spec_index=of.job_modify_index,
        task_group="g",
        eval_id=facts.pop("eval_id", uid(0, 2)),
        count=len(numbers),
        ids=b"".join(uuid.UUID(uid(number, 3)).bytes for number in numbers),
        nodes=tuple(n.id for n in on),
        node_names=tuple(n.name for n in on),
        node_epochs=facts.pop("node_epochs", tuple(n.epoch for n in on)),
        node_rows=u32_column([place % len(on) for place in range(len(numbers))]),
        indexes=u32_column(numbers),
        allocated_resources=RESOURCES,
        **facts,
    )


def u16(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


def plan(of: Job, **parts: Any) -> PlanApply:
    epochs = {n.id: n.epoch for n in parts.pop("on", ())}
    return PlanApply(
        time_ns=parts.pop("time_ns", 10),
        eval_id=parts.pop("eval_id", uid(0, 2)),
        namespace="default",
        job_id=of.id,
        job_version=parts.pop("job_version", of.version),
        node_epochs=epochs,
        **parts,
    )


def stop(alloc_id: str, on: Node, **facts: Any) -> AllocStop:
    return AllocStop(alloc_id=alloc_id, node_id=on.id, **facts)


class World:
    """A state with a running index."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()

    def apply(self, command: AnyCommand) -> Changes:
        return self.state.apply(self.state.index + 1, command)

    def node(self, number: int, **facts: Any) -> Node:
        made = node(number, **facts)
        self.apply(NodeRegister(time_ns=1, node=made))
        stored = self.state.node(made.id)
        assert stored is not None
        return stored

    def job(self, job_id: str = "web", **facts: Any) -> Job:
        self.apply(JobRegister(time_ns=1, job=job(job_id, **facts)))
        stored = self.state.job("default", job_id)
        assert stored is not None
        return stored
