"""Messages about jobs. Pure. Source: spec/nomad-surface.md B2."""

from __future__ import annotations

from typing import Any

from daemon.model.base import Wire
from daemon.model.job import Job, JobSource
from daemon.model.launch import Launches
from daemon.model.metrics import AllocMetric
from daemon.model.plan import GroupAnnotation
from daemon.model.scaling import ScalingEvent
from daemon.model.summary import GroupSummary
from daemon.rpc.messages.base import Answer, Query, Write


class JobRegisterRequest(Write, frozen=True, kw_only=True):
    """Create or change a job."""

    job: Job
    submission: JobSource | None = None
    enforce_index: bool = False
    job_modify_index: int = 0
    eval_priority: int = 0
    #: keep the counts that the groups have now.
    preserve_counts: bool = False


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
    next_periodic_launch_ns: int = 0


class JobListRequest(Query, frozen=True, kw_only=True):
    """Jobs by prefix. Those with a parent are left out, unless asked for: all, or those of one `parent`."""

    children: bool = False
    parent: str = ""


class JobChildren(Wire, frozen=True, kw_only=True):
    """How many jobs a periodic or parameterized one has launched that are still known, by status."""

    pending: int = 0
    running: int = 0
    dead: int = 0


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
    periodic: bool = False
    parameterized_job: bool = False
    children: JobChildren | None = None


class JobListResponse(Answer, frozen=True, kw_only=True):
    """Jobs in the order of (namespace, id)."""

    jobs: tuple[JobStub, ...] = ()


class JobResponse(Answer, frozen=True, kw_only=True):
    """One job with the counts of its groups; of periodic and parameterized ones the launches and children."""

    job: Job
    summary: dict[str, GroupSummary] = {}
    launches: Launches | None = None
    next_launch_ns: int = 0
    children: JobChildren | None = None


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


class JobScaleRequest(Write, frozen=True, kw_only=True):
    """Change the count of a group ("": the only one). Without `count` the message is only noted."""

    job_id: str
    group: str = ""
    count: int | None = None
    message: str = ""
    error: bool = False
    meta: dict[str, str] = {}


class JobScaleResponse(Answer, frozen=True, kw_only=True):
    """`eval_id` is empty when nothing was changed."""

    eval_id: str = ""
    eval_create_index: int = 0
    job_modify_index: int = 0
    version: int = 0


class JobScaleStatusResponse(Answer, frozen=True, kw_only=True):
    """Counts and the last events of the groups, newest first."""

    job_id: str
    namespace: str
    counts: dict[str, int] = {}
    events: dict[str, tuple[ScalingEvent, ...]] = {}


class JobDispatchRequest(Write, frozen=True, kw_only=True):
    """Launch a parameterized job. The same token gives the same child for as long as that is known."""

    job_id: str
    payload: bytes = b""
    meta: dict[str, str] = {}
    id_prefix_template: str = ""
    idempotency_token: str = ""
    priority: int = 0


class JobDispatchResponse(Answer, frozen=True, kw_only=True):
    """`eval_id` is empty when the child is itself periodic. `existing`: the token was known."""

    dispatched_job_id: str
    eval_id: str = ""
    eval_create_index: int = 0
    job_create_index: int = 0
    existing: bool = False


class PeriodicForceRequest(Write, frozen=True, kw_only=True):
    """Launch a periodic job now, whatever its schedule and overlap say."""

    job_id: str


class PeriodicForceResponse(Answer, frozen=True, kw_only=True):
    """The child; `existing`: another launch of this second had made it."""

    job_id: str
    eval_id: str = ""
    eval_create_index: int = 0
    existing: bool = False


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
