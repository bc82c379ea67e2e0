"""schedule: (evaluation, job view, fleet) -> plan. The scheduler's one entry. Pure.

Theory: the same input, fleet and seed give the same attempt in every process. A job type that nobody schedules
fails its evaluation, with a reason.

Source: architecture.md "The way of a job through the house"; spec/scheduler.md 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from daemon.model.enums import EvalStatus, JobType
from daemon.model.plan import Attempt, EvalInput, Neighbour, Plan
from daemon.scheduler.generic import generic_attempt
from daemon.scheduler.system import system_attempt
from daemon.state.fleet import Fleet

Look = Callable[[tuple[str, ...]], Mapping[str, tuple[Neighbour, ...]]]


def schedule_seeing(input_: EvalInput, fleet: Fleet, look: Look) -> Attempt:
    """One attempt that gets to see what it wants to: `look` gives the neighbours on some nodes."""
    while (attempt := schedule(input_, fleet)).wants_nodes:
        seen = {**input_.neighbours, **look(attempt.wants_nodes)}
        if len(seen) == len(input_.neighbours):
            break
        input_ = msgspec.structs.replace(input_, neighbours=seen)
    return attempt


def schedule(input_: EvalInput, fleet: Fleet) -> Attempt:
    """One attempt at the evaluation. Changes neither the fleet nor the input."""
    kind = input_.job.type.value if input_.job else input_.evaluation.type
    if kind in (JobType.SERVICE, JobType.BATCH):
        return generic_attempt(input_, fleet)
    if kind in (JobType.SYSTEM, JobType.SYSBATCH):
        return system_attempt(input_, fleet)
    source = input_.evaluation
    failed = msgspec.structs.replace(
        source, status=EvalStatus.FAILED, status_description=f'no scheduler knows the job type "{kind}"'
    )
    plan = Plan(eval_id=source.id, namespace=source.namespace, job_id=source.job_id, job_version=0)
    return Attempt(plan=plan, evaluation=failed)
