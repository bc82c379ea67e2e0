"""Evaluation: the request to bring one job to its desired state. Pure.

Source: spec/scheduler.md 1.6.
"""

from __future__ import annotations

from daemon.model.base import Wire
from daemon.model.enums import EVAL_TERMINAL, EvalStatus, Trigger
from daemon.model.metrics import AllocMetric


class Evaluation(Wire, frozen=True, kw_only=True):
    """One pass of the scheduler over one job."""

    id: str
    namespace: str = "default"
    job_id: str
    #: scheduler type: service, batch, system.
    type: str
    priority: int = 50
    triggered_by: Trigger
    status: EvalStatus = EvalStatus.PENDING
    status_description: str = ""
    node_id: str = ""
    deployment_id: str = ""
    #: not before this wall time, ns (0: at once).
    wait_until_ns: int = 0
    previous_eval: str = ""
    next_eval: str = ""
    blocked_eval: str = ""
    class_eligibility: dict[str, bool] = {}
    escaped_computed_class: bool = False
    failed_tg_allocs: dict[str, AllocMetric] = {}
    queued_allocations: dict[str, int] = {}
    annotate_plan: bool = False
    snapshot_index: int = 0
    job_modify_index: int = 0
    create_index: int = 0
    modify_index: int = 0
    create_time_ns: int = 0
    modify_time_ns: int = 0

    @property
    def terminal(self) -> bool:
        """Complete, failed or canceled."""
        return self.status in EVAL_TERMINAL

    @property
    def placed(self) -> bool:
        """Placement is a state of its own: complete AND nothing left over (wants.md 2)."""
        return self.status == EvalStatus.COMPLETE and not self.failed_tg_allocs
