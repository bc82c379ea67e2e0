"""Job.Dispatch and Periodic.Force: launches on demand.

Source: spec/scheduler.md 8; spec/nomad-surface.md B2.
"""

from __future__ import annotations

from daemon.model.enums import Trigger
from daemon.model.errors import InvalidInput, NotFound, Unavailable
from daemon.model.job import Job
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher, require
from daemon.server.context import ServerContext
from daemon.server.dispatching import check_dispatch, dispatched_child
from daemon.server.launcher import Launcher
from daemon.server.periodic import Due
from daemon.server.queries import namespace_of
from daemon.state.changes import Launched
from daemon.state.commands import JobDispatch


class LaunchEndpoints:
    """Handlers of Job.Dispatch and Periodic.Force."""

    def __init__(self, context: ServerContext, launcher: Launcher) -> None:
        self._context = context
        self._launcher = launcher

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve both."""
        dispatcher.serve(methods.JOB_DISPATCH, self.dispatch)
        dispatcher.serve(methods.PERIODIC_FORCE, self.force)

    def _parent(self, namespace: str, job_id: str) -> Job:
        job = self._context.state.job(namespace_of(namespace), require(job_id, "a job id"))
        if job is None:
            raise NotFound(f"job not found: {job_id!r} in namespace {namespace_of(namespace)!r}")
        return job

    async def dispatch(self, request: m.JobDispatchRequest, caller: Caller) -> m.JobDispatchResponse:
        """Launch a parameterized job with payload and meta."""
        self._context.admit("the dispatch", False)
        self._context.check_open("the dispatch")
        parent = self._parent(request.namespace, request.job_id)
        check_dispatch(parent, request)
        now = self._context.clock.now_ns()
        child = dispatched_child(parent, request, now, self._context.ids.new()[:8])
        evaluation = None
        if child.periodic is None:
            evaluation = self._context.evaluation(child, Trigger.JOB_REGISTER)
        changes = await self._context.propose(JobDispatch(time_ns=now, child=child, evaluation=evaluation))
        launched = _launched(changes.result)
        return m.JobDispatchResponse(
            index=changes.index,
            dispatched_job_id=launched.job_id,
            eval_id=launched.eval_id,
            eval_create_index=launched.create_index if launched.eval_id else 0,
            job_create_index=launched.create_index,
            existing=launched.existing,
        )

    async def force(self, request: m.PeriodicForceRequest, caller: Caller) -> m.PeriodicForceResponse:
        """Launch a periodic job now."""
        self._context.admit("the launch", False)
        parent = self._parent(request.namespace, request.job_id)
        if parent.periodic is None or parent.parameterized_job is not None:
            raise InvalidInput(f"job {parent.id!r} is not periodic: there is nothing to force")
        if parent.stop:
            raise InvalidInput(f"job {parent.id!r} is stopped; run it again first")
        now = self._context.clock.now_ns()
        launched = await self._launcher.propose(parent, Due(now, 0), forced=True)
        return m.PeriodicForceResponse(
            index=self._context.state.index,
            job_id=launched.job_id,
            eval_id=launched.eval_id,
            eval_create_index=launched.create_index if launched.eval_id else 0,
            existing=launched.existing,
        )


def _launched(result: object) -> Launched:
    if not isinstance(result, Launched):
        raise Unavailable(f"the log answered a dispatch with {result!r}")
    return result
