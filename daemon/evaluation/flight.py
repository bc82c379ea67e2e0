"""One delivery of an evaluation, over all its attempts. Pure.

Source: spec/scheduler.md 3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from daemon.model.base import NS_PER_S
from daemon.model.enums import EvalStatus, Trigger
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.plan import Plan

#: attempts without progress, per scheduler.
ATTEMPTS_MAX = {"service": 5, "batch": 2, "system": 5, "sysbatch": 2}


@dataclass
class Flight:
    """An evaluation that is out, its token, and how often it was tried."""

    evaluation: Evaluation
    token: str
    attempt: int = 1
    fruitless: int = 0
    #: the last plan passed the check whole.
    full: bool = False
    #: nodes whose allocations the scheduler asked to see.
    seeing: set[str] = field(default_factory=set)

    def looks_at(self, node_ids: tuple[str, ...]) -> bool:
        """True when it has to be handed out again, with nodes that it does not see yet. That is no new attempt."""
        before = len(self.seeing)
        self.seeing.update(node_ids)
        return len(self.seeing) > before


def may_retry(flight: Flight, progress: bool) -> bool:
    """Count one more attempt; False when too many have brought nothing."""
    flight.attempt += 1
    flight.fruitless = 0 if progress else flight.fruitless + 1
    return flight.fruitless < ATTEMPTS_MAX.get(flight.evaluation.type, 5)


def exhausted(evaluation: Evaluation, blocked_id: str, now_ns: int) -> tuple[Evaluation, ...]:
    """The evaluation as failed and, for service and batch, a blocked one that tries again later."""
    failed = msgspec.structs.replace(
        evaluation,
        status=EvalStatus.FAILED,
        status_description=(
            f"no plan could be committed in {ATTEMPTS_MAX.get(evaluation.type, 5)} attempts without progress: "
            "other plans took the room each time"
        ),
        modify_time_ns=now_ns,
    )
    if evaluation.type in ("system", "sysbatch"):
        return (failed,)
    blocked = msgspec.structs.replace(
        evaluation,
        id=blocked_id,
        triggered_by=Trigger.MAX_PLAN_ATTEMPTS,
        status=EvalStatus.BLOCKED,
        status_description="waits for a minute before it is tried again",
        previous_eval=evaluation.id,
        escaped_computed_class=True,
        create_index=0,
        modify_index=0,
        create_time_ns=now_ns,
        modify_time_ns=now_ns,
    )
    return (msgspec.structs.replace(failed, blocked_eval=blocked_id), blocked)


def canceled(evaluation: Evaluation, now_ns: int) -> Evaluation:
    """An evaluation that a newer one of its job has made needless."""
    return msgspec.structs.replace(
        evaluation,
        status=EvalStatus.CANCELED,
        status_description="a newer evaluation of the job took its place",
        modify_time_ns=now_ns,
    )


def given_up(
    evaluation: Evaluation, follow_up_id: str, seed: int, now_ns: int, *, follow_up: bool
) -> tuple[Evaluation, ...]:
    """An evaluation that was delivered too often, and the one that tries again in one to six minutes.

    Source: spec/scheduler.md 2.1 (follow-up: 1 m + random [0, 5 m)).
    """
    failed = msgspec.structs.replace(
        evaluation,
        status=EvalStatus.FAILED,
        status_description="no worker finished it in three deliveries; the agent's log says why",
        modify_time_ns=now_ns,
    )
    if not follow_up:
        return (failed,)
    wait_ns = 60 * NS_PER_S + seed % (300 * NS_PER_S)
    later = msgspec.structs.replace(
        evaluation,
        id=follow_up_id,
        triggered_by=Trigger.FAILED_FOLLOW_UP,
        status=EvalStatus.PENDING,
        status_description="",
        wait_until_ns=now_ns + wait_ns,
        previous_eval=evaluation.id,
        create_index=0,
        modify_index=0,
        create_time_ns=now_ns,
        modify_time_ns=now_ns,
    )
    return (msgspec.structs.replace(failed, next_eval=follow_up_id), later)


def pushed_out(
    plan: Plan, jobs: dict[tuple[str, str], Job], new_id: Callable[[], str], now_ns: int
) -> list[Evaluation]:
    """For each job that loses work to a plan an evaluation of its own priority."""
    return [
        Evaluation(
            id=new_id(),
            namespace=job.namespace,
            job_id=job.id,
            type=job.type.value,
            priority=job.priority,
            triggered_by=Trigger.PREEMPTION,
            previous_eval=plan.eval_id,
            job_modify_index=job.job_modify_index,
            create_time_ns=now_ns,
            modify_time_ns=now_ns,
        )
        for job in jobs.values()
    ]
