"""One delivery of an evaluation, over all its attempts. Pure.

Source: spec/scheduler.md 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from daemon.model.enums import EvalStatus, Trigger
from daemon.model.evaluation import Evaluation

#: attempts without progress, per scheduler.
ATTEMPTS_MAX = {"service": 5, "batch": 2, "system": 5}


@dataclass
class Flight:
    """An evaluation that is out, its token, and how often it was tried."""

    evaluation: Evaluation
    token: str
    attempt: int = 1
    fruitless: int = 0
    #: the last plan passed the check whole.
    full: bool = False


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
    if evaluation.type == "system":
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
