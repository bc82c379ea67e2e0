"""The closed sets of words. Values are the wire's. Pure.

Source: spec/scheduler.md section 1, spec/nomad-surface.md B5.
"""

from __future__ import annotations

from enum import StrEnum


class JobType(StrEnum):
    """Which scheduler a job is for."""

    SERVICE = "service"
    BATCH = "batch"
    SYSTEM = "system"
    SYSBATCH = "sysbatch"


class JobStatus(StrEnum):
    """Derived from the job's evaluations and allocations, never set by a user."""

    PENDING = "pending"
    RUNNING = "running"
    DEAD = "dead"


class NodeStatus(StrEnum):
    """What the servers think of a node."""

    INITIALIZING = "initializing"
    READY = "ready"
    DOWN = "down"
    DISCONNECTED = "disconnected"


class Eligibility(StrEnum):
    """Whether new work may be placed on a node."""

    ELIGIBLE = "eligible"
    INELIGIBLE = "ineligible"


class EvalStatus(StrEnum):
    """Life of an evaluation; complete, failed and canceled are final."""

    PENDING = "pending"
    BLOCKED = "blocked"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELED = "canceled"


class Trigger(StrEnum):
    """Why an evaluation was made."""

    JOB_REGISTER = "job-register"
    JOB_DEREGISTER = "job-deregister"
    PERIODIC_JOB = "periodic-job"
    NODE_DRAIN = "node-drain"
    NODE_UPDATE = "node-update"
    ALLOC_STOP = "alloc-stop"
    SCHEDULED = "scheduled"
    ROLLING_UPDATE = "rolling-update"
    DEPLOYMENT_WATCHER = "deployment-watcher"
    FAILED_FOLLOW_UP = "failed-follow-up"
    MAX_PLAN_ATTEMPTS = "max-plan-attempts"
    ALLOC_FAILURE = "alloc-failure"
    QUEUED_ALLOCS = "queued-allocs"
    PREEMPTION = "preemption"
    JOB_SCALING = "job-scaling"
    MAX_DISCONNECT_TIMEOUT = "max-disconnect-timeout"
    RECONNECT = "reconnect"
    ALLOC_RESCHEDULE = "alloc-reschedule"


class DesiredStatus(StrEnum):
    """What the servers want of an allocation."""

    RUN = "run"
    STOP = "stop"
    EVICT = "evict"


class ClientStatus(StrEnum):
    """What the node says of an allocation. `unknown` is not final."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    LOST = "lost"
    UNKNOWN = "unknown"


class TaskStateName(StrEnum):
    """Life of a task on its node."""

    PENDING = "pending"
    RUNNING = "running"
    DEAD = "dead"


class DeploymentStatus(StrEnum):
    """Life of one rollout; successful, failed and cancelled are final."""

    RUNNING = "running"
    PAUSED = "paused"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    CANCELLED = "cancelled"


CLIENT_TERMINAL = frozenset({ClientStatus.COMPLETE, ClientStatus.FAILED, ClientStatus.LOST})
SERVER_TERMINAL = frozenset({DesiredStatus.STOP, DesiredStatus.EVICT})
EVAL_TERMINAL = frozenset({EvalStatus.COMPLETE, EvalStatus.FAILED, EvalStatus.CANCELED})
