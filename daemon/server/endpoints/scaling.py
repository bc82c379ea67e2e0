"""Job.Scale and Job.ScaleStatus. Source: spec/scheduler.md 11; spec/nomad-surface.md B2."""

from __future__ import annotations

from daemon.model.enums import Trigger
from daemon.model.errors import InvalidInput, NotFound, Unavailable
from daemon.model.job import Job
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher, require
from daemon.server.context import ServerContext, is_parent
from daemon.server.periodic import next_ns
from daemon.server.queries import blocking, namespace_of
from daemon.state.changes import JobRegistered
from daemon.state.commands import JobScale

#: total count over the groups of one job (spec/scheduler.md 1.1).
JOB_COUNT_MAX = 50_000


class ScalingEndpoints:
    """Handlers of Job.Scale and Job.ScaleStatus."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve both."""
        dispatcher.serve(methods.JOB_SCALE, self.scale)
        dispatcher.serve(methods.JOB_SCALE_STATUS, self.status)

    def _job(self, namespace: str, job_id: str) -> Job:
        job = self._context.state.job(namespace_of(namespace), require(job_id, "a job id"))
        if job is None:
            raise NotFound(f"job not found: {job_id!r} in namespace {namespace_of(namespace)!r}")
        return job

    async def scale(self, request: m.JobScaleRequest, caller: Caller) -> m.JobScaleResponse:
        """Change the count of a group, or note something about its scaling."""
        job = self._job(request.namespace, request.job_id)
        name = request.group or _only_group(job)
        evaluation = None
        if request.count is not None:
            self._context.admit("the change of count", False)
            self._context.check_open("the change of count")
            others = sum(group.count for group in job.task_groups if group.name != name)
            if others + request.count > JOB_COUNT_MAX:
                raise InvalidInput(f"the counts of all groups of job {job.id!r} would exceed {JOB_COUNT_MAX}")
            if not is_parent(job):
                evaluation = self._context.evaluation(job, Trigger.JOB_SCALING)
        changes = await self._context.propose(
            JobScale(
                time_ns=self._context.clock.now_ns(),
                namespace=job.namespace,
                job_id=job.id,
                group=name,
                count=request.count,
                message=request.message,
                error=request.error,
                meta=request.meta,
                evaluation=evaluation,
                next_launch_ns=next_ns(job, self._context.state.launches(*job.key)),
            )
        )
        result = changes.result
        if not isinstance(result, JobRegistered):
            raise Unavailable(f"the log answered a change of count with {result!r}")
        return m.JobScaleResponse(
            index=changes.index,
            eval_id=result.eval_id,
            eval_create_index=changes.index if result.eval_id else 0,
            job_modify_index=result.job_modify_index,
            version=result.version,
        )

    async def status(self, request: m.IdQuery, caller: Caller) -> m.JobScaleStatusResponse:
        """The counts of a job's groups and what was asked of them, newest first."""
        state = self._context.state

        def read() -> m.JobScaleStatusResponse:
            job = self._job(request.namespace, request.id)
            row = state.scaling(*job.key)
            return m.JobScaleStatusResponse(
                index=max(job.modify_index, row.modify_index if row else 0),
                job_id=job.id,
                namespace=job.namespace,
                counts={group.name: group.count for group in job.task_groups},
                events=row.groups if row else {},
            )

        return await blocking(self._context, request, read)


def _only_group(job: Job) -> str:
    if len(job.task_groups) != 1:
        names = ", ".join(group.name for group in job.task_groups)
        raise InvalidInput(f"job {job.id!r} has several groups: name one of {names}")
    return job.task_groups[0].name
