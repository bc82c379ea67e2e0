"""Messages about jobs. Pure. Source: spec/nomad-surface.md B2."""

from __future__ import annotations

from typing import Any

from daemon.model.base import Wire
from daemon.model.job import Job, JobSource
from daemon.model.metrics import AllocMetric
from daemon.model.plan import GroupAnnotation
from daemon.model.summary import GroupSummary
from daemon.rpc.messages.base import Answer, Query, Write


class JobRegisterRequest(Write, frozen=True, kw_only=True):
    """Create or change a job."""

    job: Job
    submission: JobSource | None = None
    enforce_index: bool = False
    job_modify_index: int = 0
    eval_priority: int = 0


class JobRegisterResponse(Answer, frozen=True, kw_only=True):
    """`eval_id` is the evaluation to follow."""

    eval_id: str = ""
    eval_create_index: int = 0
    job_modify_index: int = 0
    version: int = 0
    warnings: tuple[str, ...] = ()


class JobValidateRequest(Write, frozen=True, kw_only=True):
    """Check a job as Register would."""

    job: Job


class JobValidateResponse(Answer, frozen=True, kw_only=True):
    """Empty `validation_errors`: it would be accepted."""

    validation_errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class JobPlanRequest(Write, frozen=True, kw_only=True):
    """Dry run of Register."""

    job: Job
    diff: bool = True


class JobPlanResponse(Answer, frozen=True, kw_only=True):
    """`diff` is a JobDiff (daemon.jobspec.diff) as plain data."""

    diff: dict[str, Any] | None = None
    annotations: dict[str, GroupAnnotation] = {}
    failed_tg_allocs: dict[str, AllocMetric] = {}
    explanations: dict[str, tuple[str, ...]] = {}
    job_modify_index: int = 0
    warnings: tuple[str, ...] = ()


class JobStub(Wire, frozen=True, kw_only=True):
    """A job in a list."""

    id: str
    name: str
    namespace: str
    type: str
    priority: int
    status: str
    status_description: str = ""
    stop: bool = False
    parent_id: str = ""
    node_pool: str = "default"
    datacenters: tuple[str, ...] = ()
    version: int = 0
    submit_time_ns: int = 0
    create_index: int = 0
    modify_index: int = 0
    job_modify_index: int = 0
    job_summary: dict[str, GroupSummary] = {}


class JobListResponse(Answer, frozen=True, kw_only=True):
    """Jobs in the order of (namespace, id)."""

    jobs: tuple[JobStub, ...] = ()


class JobResponse(Answer, frozen=True, kw_only=True):
    """One job with the counts of its groups."""

    job: Job
    summary: dict[str, GroupSummary] = {}


class JobVersionsResponse(Answer, frozen=True, kw_only=True):
    """Newest first; `diffs[i]` leads from version i+1 of the list to i."""

    versions: tuple[Job, ...] = ()
    diffs: tuple[dict[str, Any], ...] = ()


class JobSourceRequest(Query, frozen=True, kw_only=True):
    """The text of one version (-1: the latest)."""

    id: str
    version: int = -1


class JobSourceResponse(Answer, frozen=True, kw_only=True):
    """The text as it was submitted."""

    submission: JobSource
    version: int = 0


class JobDeregisterRequest(Write, frozen=True, kw_only=True):
    """Stop a job; `purge` forgets it too."""

    id: str
    purge: bool = False
    eval_priority: int = 0
    no_shutdown_delay: bool = False


class JobEvaluateRequest(Write, frozen=True, kw_only=True):
    """Make a new evaluation; `force_reschedule` replaces failed allocations now."""

    id: str
    force_reschedule: bool = False


class GroupWhy(Wire, frozen=True, kw_only=True):
    """Why a group is not where it should be. `lines` are plain words, the most important first."""

    group: str
    desired: int = 0
    running: int = 0
    missing: int = 0
    lines: tuple[str, ...] = ()
    metric: AllocMetric | None = None


class JobWhyResponse(Answer, frozen=True, kw_only=True):
    """The answer of `job why`. `ok`: all that was asked for runs."""

    id: str
    status: str
    ok: bool = False
    headline: str = ""
    groups: tuple[GroupWhy, ...] = ()
    blocked_eval: str = ""
