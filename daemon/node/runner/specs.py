"""What the cores must know of a job: specs of an allocation and its tasks, and the rules of lifecycle hooks. Pure.

Theory: a task without a lifecycle block is a main task. prestart tasks come before the main ones: those that are no
sidecars must end well first, sidecars must run. poststart tasks begin when all main tasks have started, poststop
tasks when everything else is over. A sidecar lives as long as the main tasks do.

Source: spec/nomad-surface.md A4; spec/scheduler.md 1.2, 1.3.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from daemon.model.alloc import Allocation
from daemon.model.enums import JobType
from daemon.model.health import health_rules
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.policies import RestartPolicy


class Role(StrEnum):
    """When a task runs."""

    MAIN = "main"
    PRESTART = "prestart"
    PRESTART_SIDECAR = "prestart sidecar"
    POSTSTART = "poststart"
    POSTSTART_SIDECAR = "poststart sidecar"
    POSTSTOP = "poststop"


SIDECARS = frozenset({Role.PRESTART_SIDECAR, Role.POSTSTART_SIDECAR})


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One task as its core sees it."""

    name: str
    role: Role = Role.MAIN
    leader: bool = False
    policy: RestartPolicy = RestartPolicy()
    #: it is to run for ever: the restart policy counts a good end too.
    on_success: bool = True
    #: "": what is usual for the driver.
    kill_signal: str = ""
    kill_timeout_ns: int = 5_000_000_000
    shutdown_delay_ns: int = 0


class HealthSpec(msgspec.Struct, frozen=True, kw_only=True):
    """When an allocation counts as healthy."""

    min_healthy_ns: int
    deadline_ns: int


class AllocSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An allocation as its core sees it."""

    alloc_id: str
    tasks: tuple[TaskSpec, ...]
    deployment_id: str = ""
    has_predecessor: bool = False
    shutdown_delay_ns: int = 0
    #: 0: as long as it likes; otherwise counted from the allocation's creation.
    max_run_ns: int = 0
    created_ns: int = 0
    #: None: health is not judged.
    health: HealthSpec | None = None


def role_of(task: Task) -> Role:
    """The role that a task's lifecycle block gives it."""
    if task.lifecycle is None:
        return Role.MAIN
    match (task.lifecycle.hook, task.lifecycle.sidecar):
        case ("prestart", sidecar):
            return Role.PRESTART_SIDECAR if sidecar else Role.PRESTART
        case ("poststart", sidecar):
            return Role.POSTSTART_SIDECAR if sidecar else Role.POSTSTART
        case _:
            return Role.POSTSTOP


def runs_for_ever(job_type: JobType, role: Role) -> bool:
    """Whether a good end of such a task is no end."""
    if role in SIDECARS:
        return True
    return role == Role.MAIN and job_type in (JobType.SERVICE, JobType.SYSTEM)


def task_spec(job: Job, group: TaskGroup, task: Task, *, max_kill_timeout_ns: int) -> TaskSpec:
    """The spec of one task; the node's limit bounds its kill timeout."""
    role = role_of(task)
    return TaskSpec(
        name=task.name,
        role=role,
        leader=task.leader,
        policy=task.restart_policy or group.restart_policy,
        on_success=runs_for_ever(job.type, role),
        kill_signal=task.kill_signal,
        kill_timeout_ns=min(task.kill_timeout_ns, max_kill_timeout_ns),
        shutdown_delay_ns=task.shutdown_delay_ns,
    )


def alloc_spec(alloc: Allocation, job: Job, group: TaskGroup, *, max_kill_timeout_ns: int) -> AllocSpec:
    """The spec of an allocation of that version of the job."""
    rules = health_rules(job, group, alloc.deployment_id)
    health = None
    if rules is not None and rules.health_check != "manual":
        health = HealthSpec(min_healthy_ns=rules.min_healthy_time_ns, deadline_ns=rules.healthy_deadline_ns)
    return AllocSpec(
        alloc_id=alloc.id,
        tasks=tuple(
            task_spec(job, group, task, max_kill_timeout_ns=max_kill_timeout_ns) for task in group.tasks
        ),
        deployment_id=alloc.deployment_id,
        has_predecessor=bool(alloc.previous_allocation),
        shutdown_delay_ns=group.shutdown_delay_ns,
        max_run_ns=group.max_run_duration_ns,
        created_ns=alloc.create_time_ns,
        health=health,
    )
