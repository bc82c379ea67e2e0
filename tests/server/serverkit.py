"""A whole server role in this process, in memory, with made-up nodes; calls go through the dispatcher's coding."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from daemon.model.alloc import Allocation, AllocHealth
from daemon.model.base import decode, encode
from daemon.model.enums import ClientStatus, TaskStateName
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.node import DriverInfo, Node, NodeNetwork, NodeResources
from daemon.model.policies import EphemeralDisk, LogRotation
from daemon.model.resources import Resources
from daemon.model.tasks import EventType, TaskEvent, TaskState
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.methods import Method
from daemon.server.server import Server, ServerConfig

Q = TypeVar("Q")
A = TypeVar("A")


class Kit:
    """Server, dispatcher and short words for what tests do all the time."""

    def __init__(self, config: ServerConfig | None = None) -> None:
        self.server = Server(config or ServerConfig(data_dir=None))
        self.dispatcher = Dispatcher()
        self.nodes: dict[str, Node] = {}

    async def start(self) -> Kit:
        await self.server.start(self.dispatcher)
        return self

    async def call(self, method: Method[Q, A], request: Q) -> A:
        return decode(await self.dispatcher.call(method.name, encode(request), Caller()), method.response)

    async def until(self, what: str, read: Callable[[], Any], limit_s: float = 20.0) -> Any:
        """Wait for a true value of `read`, on the state's own changes."""
        signal = self.server.context.index_signal
        end = time.monotonic() + limit_s
        while True:
            seen = signal.value
            value = read()
            if value:
                return value
            assert time.monotonic() < end, f"waited {limit_s:g} s for {what}"
            await signal.wait_past(seen, 0.1)

    # ---- nodes ----

    async def node(self, name: str = "n1", **changes: Any) -> Node:
        node = make_node(name, **changes)
        self.nodes[node.id] = node
        await self.call(methods.NODE_REGISTER, m.NodeRegisterRequest(node=node))
        return node

    async def beat(self, node: Node) -> m.NodeHeartbeatResponse:
        return await self.call(
            methods.NODE_HEARTBEAT, m.NodeHeartbeatRequest(node_id=node.id, secret_id=node.secret_id)
        )

    async def report(self, node: Node, alloc: Allocation, status: ClientStatus, *, healthy: bool | None = None,
                     exit_code: int = 0, event: TaskEvent | None = None) -> None:  # fmt: skip
        """What a node would report of an allocation."""
        now = time.time_ns()
        ended = status in (ClientStatus.COMPLETE, ClientStatus.FAILED)
        terminated = TaskEvent(type=EventType.TERMINATED, time_ns=now, exit_code=exit_code,
                               display_message=f"Exit Code: {exit_code}")  # fmt: skip
        events = (event,) if event is not None else ((terminated,) if ended else ())
        state = TaskState(
            state=TaskStateName.DEAD if ended else TaskStateName.RUNNING,
            failed=status == ClientStatus.FAILED,
            started_at_ns=now,
            finished_at_ns=now if ended else 0,
            events=events,
        )
        update = msgspec.structs.replace(
            alloc,
            client_status=status,
            task_states={"t": state},
            deployment_status=AllocHealth(healthy=healthy, timestamp_ns=now) if healthy is not None else None,
        )
        await self.call(
            methods.NODE_UPDATE_ALLOC,
            m.NodeUpdateAllocRequest(node_id=node.id, secret_id=node.secret_id, updates=(update,)),
        )

    # ---- jobs ----

    async def run(self, job: Job) -> m.JobRegisterResponse:
        return await self.call(methods.JOB_REGISTER, m.JobRegisterRequest(job=job))

    async def settled(self, eval_id: str) -> Any:
        """The evaluation once it has ended."""
        state = self.server.context.state
        return await self.until(
            "the evaluation to end", lambda: (e := state.eval(eval_id)) and e.terminal and e
        )

    async def run_and_settle(self, job: Job) -> Any:
        return await self.settled((await self.run(job)).eval_id)

    def allocs(self, job_id: str) -> list[Allocation]:
        return list(self.server.context.state.allocs_by_job("default", job_id))

    def live(self, job_id: str) -> list[Allocation]:
        return [alloc for alloc in self.allocs(job_id) if not alloc.terminal]

    async def why(self, job_id: str) -> m.JobWhyResponse:
        return await self.call(methods.JOB_WHY, m.IdQuery(id=job_id))

    async def close(self) -> None:
        await self.server.close()


def make_node(name: str = "n1", **changes: Any) -> Node:
    number = abs(hash(name)) if not name[1:].isdigit() else int(name[1:])
    node = Node(
        id=f"{number % 2**32:08x}-0000-4000-8000-00000000000a",
        secret_id=f"secret of {name}",
        name=name,
        node_class="small",
        attributes={"kernel.name": "linux", "cpu.arch": "amd64"},
        drivers={"mock_driver": DriverInfo(detected=True, healthy=True)},
        node_resources=NodeResources(
            cpu_shares=4000, total_cores=2, memory_mb=4096, disk_mb=10_000,
            networks=(NodeNetwork(device="eth0", ip="10.0.0.1"),),
        ),
    )  # fmt: skip
    return msgspec.structs.replace(node, **changes)


def make_job(id_: str = "web", *, count: int = 1, group: dict[str, Any] | None = None,
             task: dict[str, Any] | None = None, **changes: Any) -> Job:  # fmt: skip
    task_fields: dict[str, Any] = {
        "name": "t",
        "driver": "mock_driver",
        "config": {"run_for": "1h"},
        "resources": Resources(cpu=100, memory_mb=64),
        "log_config": LogRotation(max_files=1, max_file_size_mb=1),
        **(task or {}),
    }
    group_fields: dict[str, Any] = {
        "name": "g",
        "count": count,
        "tasks": (Task(**task_fields),),
        "ephemeral_disk": EphemeralDisk(size_mb=20),
        **(group or {}),
    }
    return Job(id=id_, task_groups=(TaskGroup(**group_fields),), **changes)


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
