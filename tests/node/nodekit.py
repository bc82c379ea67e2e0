"""A scripted server in memory, and factories for what it hands out."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec

from daemon.aio.signal import Signal
from daemon.model.alloc import Allocation
from daemon.model.enums import DesiredStatus, JobType
from daemon.model.errors import NotFound, Unavailable
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.policies import MINUTE, SECOND, RestartPolicy, UpdateStrategy
from daemon.model.resources import AllocatedResources, AllocatedShared, AllocatedTask
from daemon.node.agent import NodeAgent
from daemon.node.config import NodeConfig
from daemon.rpc import messages as m

DEADLINE_S = 15.0
#: health that tests can wait for.
QUICK_HEALTH = UpdateStrategy(min_healthy_time_ns=SECOND // 5, healthy_deadline_ns=5 * SECOND)
QUICK_RESTART = RestartPolicy(attempts=2, interval_ns=10 * MINUTE, delay_ns=SECOND // 20)


async def until(condition: Any, what: str = "", deadline_s: float = DEADLINE_S) -> Any:
    """Wait for a condition that stays true; its value is returned."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what or condition}")
        await asyncio.sleep(0.01)
    return value


def make_task(
    name: str = "web", *, driver: str = "mock_driver", config: dict[str, Any] | None = None, **facts: Any
) -> Task:
    """A task that runs for an hour unless it is told otherwise."""
    return Task(name=name, driver=driver, config=config if config is not None else {"run_for": "1h"}, **facts)


def make_job(*tasks: Task, type: JobType = JobType.SERVICE, job_id: str = "job", **group: Any) -> Job:
    """A job of one group `group`."""
    group.setdefault("restart_policy", QUICK_RESTART)
    group.setdefault("update", QUICK_HEALTH)
    found = TaskGroup(name="group", tasks=tasks or (make_task(),), **group)
    return Job(id=job_id, name=job_id, type=type, task_groups=(found,))


class Server:
    """Holds jobs and allocations for one node as servers would, and answers its calls."""

    def __init__(self) -> None:
        self.index = Signal()
        self.jobs: dict[tuple[str, str, int], Job] = {}
        self.allocs: dict[str, Allocation] = {}
        self.node: Any = None
        self.registrations = 0
        self.beats = 0
        self.away = False
        self.reports: list[Allocation] = []
        self.refuse_reports = False
        self.forget_node = False

    async def call(self, method: Any, request: Any, *, timeout_s: float) -> Any:
        """ServerPort."""
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("no server answers")
        handler = getattr(self, "on_" + method.name.replace(".", "_"))
        answer = await asyncio.wait_for(handler(request), timeout_s)
        return msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=method.response)

    async def on_Node_Register(self, request: m.NodeRegisterRequest) -> Any:
        self.node = request.node
        self.registrations += 1
        self.forget_node = False
        return m.NodeHeartbeatResponse(heartbeat_ttl_ns=SECOND // 10, report_interval_ns=SECOND // 50)

    async def on_Node_UpdateStatus(self, request: m.NodeHeartbeatRequest) -> Any:
        if self.forget_node:
            return m.NodeHeartbeatResponse(register_again=True)
        if self.node is None or self.node.secret_id != request.secret_id:
            raise NotFound("no such node")
        self.beats += 1
        return m.NodeHeartbeatResponse(heartbeat_ttl_ns=SECOND // 10, report_interval_ns=SECOND // 50)

    async def on_Node_GetClientAllocs(self, request: m.NodeAllocsRequest) -> Any:
        for _ in range(600):
            if self.away:
                raise Unavailable("the server went away")
            if await self.index.wait_past(request.min_query_index, 0.1):
                break
        allocs = {alloc.id: alloc.alloc_modify_index for alloc in self.allocs.values()}
        return m.NodeAllocsResponse(index=self.index.value, allocs=allocs)

    async def on_Alloc_GetAllocs(self, request: m.FetchAllocsRequest) -> Any:
        found = [self.allocs[id_] for id_ in request.alloc_ids if id_ in self.allocs]
        keys = {(alloc.namespace, alloc.job_id, alloc.job_version) for alloc in found}
        jobs = tuple(self.jobs[key] for key in sorted(keys) if key in self.jobs)
        return m.FetchAllocsResponse(index=self.index.value, allocations=tuple(found), jobs=jobs)

    async def on_Node_UpdateAlloc(self, request: m.NodeUpdateAllocRequest) -> Any:
        if self.refuse_reports:
            raise Unavailable("not now")
        for update in request.updates:
            self.reports.append(update)
            known = self.allocs.get(update.id)
            if known is not None:
                self.allocs[update.id] = msgspec.structs.replace(
                    known,
                    client_status=update.client_status,
                    client_description=update.client_description,
                    task_states=update.task_states,
                    deployment_status=update.deployment_status,
                )
        return m.Empty(index=self.index.value)

    # what a test does

    def place(self, job: Job, alloc_id: str = "", **facts: Any) -> str:
        """Place one allocation of a job's group and return its id."""
        self.jobs[job.namespace, job.id, job.version] = job
        alloc_id = alloc_id or str(uuid.uuid4())
        index = self.index.value + 1
        group = job.task_groups[0]
        facts.setdefault(
            "allocated_resources",
            AllocatedResources(
                tasks={task.name: AllocatedTask(cpu_shares=100, memory_mb=64) for task in group.tasks},
                shared=AllocatedShared(disk_mb=10),
            ),
        )
        self.allocs[alloc_id] = Allocation(
            id=alloc_id,
            name=f"{job.id}.{group.name}[0]",
            job_id=job.id,
            job_version=job.version,
            task_group=group.name,
            node_id=self.node.id if self.node is not None else "",
            create_index=index,
            alloc_modify_index=index,
            create_time_ns=time.time_ns(),
            **facts,
        )
        self.index.notify()
        return alloc_id

    def change(self, alloc_id: str, **facts: Any) -> None:
        """Change an allocation as a plan would."""
        self.allocs[alloc_id] = msgspec.structs.replace(
            self.allocs[alloc_id], alloc_modify_index=self.index.value + 1, **facts
        )
        self.index.notify()

    def stop(self, alloc_id: str, why: str = "not needed") -> None:
        """Want it gone."""
        self.change(alloc_id, desired_status=DesiredStatus.STOP, desired_description=why)

    def forget(self, alloc_id: str) -> None:
        """Collect it as servers do."""
        del self.allocs[alloc_id]
        self.index.notify()

    async def status(self, alloc_id: str, status: str, deadline_s: float = DEADLINE_S) -> Allocation:
        """Wait until the node has reported a client status."""

        def reached() -> bool:
            return self.allocs[alloc_id].client_status == status

        try:
            await until(reached, deadline_s=deadline_s)
        except AssertionError:
            alloc = self.allocs[alloc_id]
            events = {name: [e.display_message for e in s.events] for name, s in alloc.task_states.items()}
            raise AssertionError(f"not {status} but {alloc.client_status}: {events}") from None
        return self.allocs[alloc_id]


class MemoryStream:
    """ServerStream of a test: what is sent is kept, what is received is given before."""

    def __init__(self, *frames: bytes, close: bool = True) -> None:
        self.sent: list[bytes] = []
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        for frame in frames:
            self._frames.put_nowait(frame)
        if close:
            self._frames.put_nowait(None)

    def give(self, frame: bytes | None) -> None:
        self._frames.put_nowait(frame)

    async def send(self, data: bytes) -> None:
        await asyncio.sleep(0)
        self.sent.append(data)

    async def recv(self) -> bytes | None:
        return await self._frames.get()

    @property
    def data(self) -> bytes:
        return b"".join(self.sent)


def node_config(data_dir: Path, **facts: Any) -> NodeConfig:
    facts.setdefault("max_kill_timeout_s", 5.0)
    return NodeConfig(data_dir=data_dir, name="test-node", dev=True, **facts)


def make_agent(
    data_dir: Path, server: Any, *, raw_exec: bool = False, extra: Any = (), **facts: Any
) -> NodeAgent:
    """An agent with mock_driver, raw_exec with a supervisor of its own when asked, and `extra` driver classes."""
    from plugins.mock_driver.driver import MockDriver

    drivers: dict[str, Any] = {"mock_driver": MockDriver, **{kind.name: kind for kind in extra}}
    supervisor = None
    if raw_exec:
        from plugins.raw_exec.driver import RawExecDriver
        from plugins.supervisor.client import SupervisorClient

        drivers["raw_exec"] = RawExecDriver
        supervisor = SupervisorClient.ensure
    return NodeAgent(
        node_config(data_dir, **facts), server, drivers=drivers, fingerprinters=[], supervisor=supervisor
    )


@contextlib.asynccontextmanager
async def running(data_dir: Path, server: Any, **facts: Any) -> Any:
    """A started agent; at the end its tasks are ended too."""
    agent = make_agent(data_dir, server, **facts)
    await asyncio.wait_for(agent.start(), 2 * DEADLINE_S)
    try:
        if not server.away:
            await asyncio.wait_for(agent.ready.wait(), DEADLINE_S)
        yield agent
    finally:
        await agent.stop(kill_tasks=True)
