"""Dry runs: what registering a job would do. The scheduler runs in a worker, nothing is written.

Source: spec/scheduler.md 11 "Plan".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from daemon.model.enums import Trigger
from daemon.model.job import Job
from daemon.model.plan import Attempt, EvalInput
from daemon.scheduler.explain import explain_metric
from daemon.server.context import ServerContext
from daemon.state.job_versions import same_spec
from daemon.state.view import FailedOn, eval_input

RunDry = Callable[[EvalInput], Awaitable[Attempt]]


class DryRunner:
    """Makes the input of a dry run and explains its outcome."""

    def __init__(self, context: ServerContext, run: RunDry, failed_on: FailedOn | None = None) -> None:
        self._context = context
        self._run = run
        self._failed_on = failed_on

    async def run(self, job: Job) -> tuple[Attempt, dict[str, tuple[str, ...]]]:
        """The attempt that registering `job` would lead to, and plain words for what would not fit."""
        state = self._context.state
        before = state.job(job.namespace, job.id)
        future = _registered(job, before, state.index + 1)
        evaluation = msgspec.structs.replace(
            self._context.evaluation(future, Trigger.JOB_REGISTER), annotate_plan=True
        )
        item = eval_input(
            state,
            evaluation,
            now_ns=self._context.clock.now_ns(),
            seed=self._context.ids.seed(),
            attempt=1,
            failed_on=self._failed_on,
        )
        old_jobs = item.old_jobs + ((before,) if before is not None and before is not future else ())
        attempt = await self._run(msgspec.structs.replace(item, job=future, old_jobs=old_jobs))
        failed = attempt.evaluation.failed_tg_allocs
        return attempt, {group: tuple(explain_metric(future, metric)) for group, metric in failed.items()}


def _registered(job: Job, before: Job | None, index: int) -> Job:
    """The job as registering it at that index would store it; an equal spec makes no new version."""
    if before is None:
        return msgspec.structs.replace(job, job_modify_index=index, create_index=index)
    if same_spec(before, job):
        return before
    return msgspec.structs.replace(
        job, version=before.version + 1, job_modify_index=index, create_index=before.create_index
    )
