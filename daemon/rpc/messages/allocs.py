"""Messages about evaluations and allocations. Pure. Source: spec/nomad-surface.md B4, B5."""

from __future__ import annotations

from daemon.model.alloc import Allocation
from daemon.model.base import Wire
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.rpc.messages.base import Answer, Query, Write


class EvalListRequest(Query, frozen=True, kw_only=True):
    """Evaluations, newest first, of one job or with one status."""

    job: str = ""
    status: str = ""


class EvalListResponse(Answer, frozen=True, kw_only=True):
    """Newest first."""

    evaluations: tuple[Evaluation, ...] = ()


class EvalResponse(Answer, frozen=True, kw_only=True):
    """One evaluation with the explanation per group that was not placed."""

    evaluation: Evaluation
    explanations: dict[str, tuple[str, ...]] = {}
    related: tuple[Evaluation, ...] = ()


class AllocListRequest(Query, frozen=True, kw_only=True):
    """Allocations, newest first; `job` or `node` or `eval` narrows."""

    job: str = ""
    node: str = ""
    eval: str = ""


class AllocListResponse(Answer, frozen=True, kw_only=True):
    """Whole allocations without their metrics."""

    allocations: tuple[Allocation, ...] = ()


class AllocResponse(Answer, frozen=True, kw_only=True):
    """One allocation with the job version that it runs."""

    allocation: Allocation
    job: Job | None = None


class AllocStopRequest(Write, frozen=True, kw_only=True):
    """Stop and replace an allocation."""

    id: str
    no_shutdown_delay: bool = False


class EvalIdResponse(Answer, frozen=True, kw_only=True):
    """The evaluation that a write has made."""

    eval_id: str = ""
    eval_create_index: int = 0
    job_modify_index: int = 0


class AllocRestartRequest(Write, frozen=True, kw_only=True):
    """Restart tasks in place: one, the main ones ("" ), or all."""

    id: str
    task: str = ""
    all_tasks: bool = False


class AllocSignalRequest(Write, frozen=True, kw_only=True):
    """Send a signal to one task or to all running ones."""

    id: str
    task: str = ""
    signal: str = "SIGKILL"


class TaskUsage(Wire, frozen=True, kw_only=True):
    """Use of one task now. CPU in percent of one core and in MHz of the node."""

    cpu_percent: float = 0.0
    cpu_mhz: float = 0.0
    memory_rss_bytes: int = 0
    memory_cache_bytes: int = 0
    memory_max_usage_bytes: int = 0
    pids: int = 0
    timestamp_ns: int = 0


class AllocStatsResponse(Answer, frozen=True, kw_only=True):
    """Use per task."""

    tasks: dict[str, TaskUsage] = {}
