"""Objects for the tests of the command line, with defaults and overrides."""

from __future__ import annotations

from typing import Any

from daemon.model.alloc import Allocation, AllocHealth
from daemon.model.enums import TaskStateName
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.policies import UpdateStrategy
from daemon.model.tasks import TaskEvent, TaskState
from daemon.rpc.messages import JobStub

S = 1_000_000_000
#: 2026-01-02 03:04:05 UTC.
NOW_NS = 1_767_323_045 * S
ALLOC = "8a1f0000-0000-4000-8000-000000000001"
ALLOC_2 = "8a1f0000-0000-4000-8000-000000000002"
ALLOC_3 = "9b000000-0000-4000-8000-000000000003"
NODE = "3c9e0000-0000-4000-8000-000000000009"
EVAL = "5f3a0000-0000-4000-8000-000000000005"


def make_alloc(**over: Any) -> Allocation:
    facts: dict[str, Any] = {
        "id": ALLOC,
        "name": "web.front[0]",
        "job_id": "web",
        "task_group": "front",
        "node_id": NODE,
        "node_name": "node-1",
        "eval_id": EVAL,
        "client_status": "pending",
        "create_index": 10,
        "modify_index": 10,
        "create_time_ns": NOW_NS - 65 * S,
        "modify_time_ns": NOW_NS - 5 * S,
    }
    return Allocation(**{**facts, **over})


def running(healthy: bool | None = None, restarts: int = 0, **over: Any) -> Allocation:
    state = TaskState(state=TaskStateName.RUNNING, restarts=restarts, started_at_ns=NOW_NS - 60 * S)
    health = None if healthy is None else AllocHealth(healthy=healthy)
    facts = {"client_status": "running", "task_states": {"server": state}, "deployment_status": health}
    return make_alloc(**{**facts, **over})


def failed(**over: Any) -> Allocation:
    event = TaskEvent(
        type="Terminated",
        time_ns=NOW_NS,
        display_message="Exit code 3; it had run for 1 s",
        exit_code=3,
        fails_task=True,
    )
    state = TaskState(state=TaskStateName.DEAD, failed=True, events=(event,), started_at_ns=NOW_NS - S)
    return make_alloc(**{"client_status": "failed", "task_states": {"server": state}, **over})


def make_job(*, count: int = 1, type: str = "service", **over: Any) -> Job:
    group = TaskGroup(
        name="front",
        count=count,
        tasks=(Task(name="server", driver="mock_driver"),),
        update=UpdateStrategy(min_healthy_time_ns=10 * S, healthy_deadline_ns=60 * S),
    )
    return Job(
        **{
            "id": "web",
            "name": "web",
            "type": type,
            "task_groups": (group,),
            "submit_time_ns": NOW_NS,
            **over,
        }
    )


def make_eval(**over: Any) -> Evaluation:
    facts: dict[str, Any] = {
        "id": EVAL,
        "job_id": "web",
        "type": "service",
        "triggered_by": "job-register",
        "status": "complete",
        "create_time_ns": NOW_NS,
        "modify_time_ns": NOW_NS,
    }
    return Evaluation(**{**facts, **over})


def make_stub(**over: Any) -> JobStub:
    facts: dict[str, Any] = {
        "id": "web",
        "name": "web",
        "namespace": "default",
        "type": "service",
        "priority": 50,
        "status": "running",
        "submit_time_ns": NOW_NS,
    }
    return JobStub(**{**facts, **over})
