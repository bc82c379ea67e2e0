"""Deployment.*, Job.Deployments and Job.LatestDeployment: read rollouts and steer them.

Source: spec/nomad-surface.md B2, B5; spec/scheduler.md 6.7, 6.8.
"""

from __future__ import annotations

import msgspec

from daemon.model.deployment import Deployment, DeploymentChange, words_of
from daemon.model.enums import DeploymentStatus, Trigger
from daemon.model.errors import Conflict, InvalidInput, NotFound, Unavailable
from daemon.model.evaluation import Evaluation
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher, require
from daemon.server.context import ServerContext
from daemon.server.queries import blocking, namespace_of, page, resolve
from daemon.state.changes import DeploymentChanged
from daemon.state.commands import (
    AnyCommand,
    DeploymentHealth,
    DeploymentPromote,
    DeploymentStatusUpdate,
)

PAUSED = "the rollout was paused by hand"
FAILED = "the rollout was failed by hand"


class DeploymentEndpoints:
    """Handlers of Deployment.*."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve all of them."""
        dispatcher.serve(methods.DEPLOYMENT_LIST, self.list)
        dispatcher.serve(methods.DEPLOYMENT_GET, self.get)
        dispatcher.serve(methods.DEPLOYMENT_ALLOCS, self.allocations)
        dispatcher.serve(methods.DEPLOYMENT_PROMOTE, self.promote)
        dispatcher.serve(methods.DEPLOYMENT_PAUSE, self.pause)
        dispatcher.serve(methods.DEPLOYMENT_FAIL, self.fail)
        dispatcher.serve(methods.DEPLOYMENT_HEALTH, self.health)
        dispatcher.serve(methods.JOB_DEPLOYMENTS, self.of_job)
        dispatcher.serve(methods.JOB_LATEST_DEPLOYMENT, self.latest)

    # ---- reads ----

    async def list(self, request: m.DeploymentListRequest, caller: Caller) -> m.DeploymentListResponse:
        """Deployments, newest first."""
        state = self._context.state

        def read() -> m.DeploymentListResponse:
            namespace = namespace_of(request.namespace)
            found = [
                row
                for row in state.deployments()
                if namespace in ("*", row.namespace)
                and (not request.job or row.job_id == request.job)
                and (not request.status or row.status == request.status)
                and row.id.startswith(request.prefix)
            ]
            found.sort(key=lambda row: (-row.create_index, row.id))
            taken, token = page(found, lambda row: f"{2**62 - row.create_index:019d}.{row.id}", request)
            return m.DeploymentListResponse(
                index=state.table_index("deployments"), deployments=tuple(taken), next_token=token
            )

        return await blocking(self._context, request, read)

    async def get(self, request: m.IdQuery, caller: Caller) -> m.DeploymentResponse:
        """One deployment."""
        id_ = self._find(request.id).id

        def read() -> m.DeploymentResponse:
            row = self._find(id_)
            return m.DeploymentResponse(index=row.modify_index, deployment=row)

        return await blocking(self._context, request, read)

    async def allocations(self, request: m.IdQuery, caller: Caller) -> m.AllocListResponse:
        """The allocations that belong to a deployment."""
        state = self._context.state
        row = self._find(request.id)

        def read() -> m.AllocListResponse:
            mine = [a for a in state.allocs_by_job(row.namespace, row.job_id) if a.deployment_id == row.id]
            mine.sort(key=lambda alloc: (-alloc.create_index, alloc.id))
            return m.AllocListResponse(
                index=state.table_index("allocs"),
                allocations=tuple(msgspec.structs.replace(alloc, metrics=None) for alloc in mine),
            )

        return await blocking(self._context, request, read)

    async def of_job(self, request: m.IdQuery, caller: Caller) -> m.DeploymentListResponse:
        """The deployments of a job, newest first."""
        state = self._context.state

        def read() -> m.DeploymentListResponse:
            found = state.deployments_by_job(namespace_of(request.namespace), request.id)
            return m.DeploymentListResponse(index=state.table_index("deployments"), deployments=tuple(found))

        return await blocking(self._context, request, read)

    async def latest(self, request: m.IdQuery, caller: Caller) -> m.DeploymentResponse:
        """The newest deployment of a job, if it has one."""
        state = self._context.state

        def read() -> m.DeploymentResponse:
            row = state.latest_deployment(namespace_of(request.namespace), request.id)
            return m.DeploymentResponse(index=state.table_index("deployments"), deployment=row)

        return await blocking(self._context, request, read)

    # ---- writes ----

    async def promote(
        self, request: m.DeploymentPromoteRequest, caller: Caller
    ) -> m.DeploymentUpdateResponse:
        """Let groups roll on whose canaries are healthy."""
        if request.all == bool(request.groups):
            raise InvalidInput("say which groups to promote: all of them, or a list of names")
        row = self._find(request.deployment_id)
        groups = None if request.all else request.groups
        return await self._propose(
            DeploymentPromote(
                time_ns=self._context.clock.now_ns(),
                deployment_id=row.id,
                groups=groups,
                evaluation=self._evaluation(row),
            )
        )

    async def pause(self, request: m.DeploymentPauseRequest, caller: Caller) -> m.DeploymentUpdateResponse:
        """Hold a deployment, or let it go on."""
        row = self._find(request.deployment_id)
        if row.active and request.pause == (row.status == DeploymentStatus.PAUSED):
            raise Conflict(f"deployment {row.id} is already {row.status}", deployment_id=row.id)
        words = PAUSED if request.pause else words_of(row.task_groups.values())
        status = DeploymentStatus.PAUSED if request.pause else DeploymentStatus.RUNNING
        change = DeploymentChange(deployment_id=row.id, status=status, status_description=words)
        evaluation = None if request.pause else self._evaluation(row)
        return await self._propose(
            DeploymentStatusUpdate(time_ns=self._context.clock.now_ns(), change=change, evaluation=evaluation)
        )

    async def fail(self, request: m.DeploymentFailRequest, caller: Caller) -> m.DeploymentUpdateResponse:
        """End a deployment as failed."""
        row = self._find(request.deployment_id)
        change = DeploymentChange(
            deployment_id=row.id, status=DeploymentStatus.FAILED, status_description=FAILED
        )
        return await self._propose(
            DeploymentStatusUpdate(
                time_ns=self._context.clock.now_ns(),
                change=change,
                revert=_reverts(row),
                evaluation=self._evaluation(row),
            )
        )

    async def health(self, request: m.DeploymentHealthRequest, caller: Caller) -> m.DeploymentUpdateResponse:
        """Store health that was judged by hand."""
        row = self._find(request.deployment_id)
        both = set(request.healthy_allocation_ids) & set(request.unhealthy_allocation_ids)
        if both or not (request.healthy_allocation_ids or request.unhealthy_allocation_ids):
            raise InvalidInput("name at least one allocation, each as healthy or as unhealthy, not both")
        return await self._propose(
            DeploymentHealth(
                time_ns=self._context.clock.now_ns(),
                deployment_id=row.id,
                healthy=request.healthy_allocation_ids,
                unhealthy=request.unhealthy_allocation_ids,
                revert=_reverts(row),
                evaluation=self._evaluation(row),
            )
        )

    # ---- helpers ----

    def _find(self, text: str) -> Deployment:
        state = self._context.state
        id_ = resolve(state, "deployments", require(text, "a deployment id"), "deployment")
        row = state.deployment(id_)
        if row is None:
            raise NotFound(f"deployment not found: {text!r} was collected just now")
        return row

    def _evaluation(self, row: Deployment) -> Evaluation | None:
        job = self._context.state.job(row.namespace, row.job_id)
        if job is None:
            return None
        return self._context.evaluation(
            job, Trigger.DEPLOYMENT_WATCHER, priority=row.eval_priority, deployment_id=row.id
        )

    async def _propose(self, command: AnyCommand) -> m.DeploymentUpdateResponse:
        changes = await self._context.propose(command)
        result = changes.result
        if not isinstance(result, DeploymentChanged):
            raise Unavailable(f"the log answered a change of a deployment with {result!r}")
        return m.DeploymentUpdateResponse(
            index=changes.index,
            eval_id=result.eval_id,
            eval_create_index=changes.index if result.eval_id else 0,
            deployment_modify_index=changes.index,
            reverted_job_version=result.reverted_version if result.reverted_version >= 0 else None,
        )


def _reverts(row: Deployment) -> bool:
    """A person who fails a deployment means all of its groups."""
    return any(group.auto_revert for group in row.task_groups.values())
