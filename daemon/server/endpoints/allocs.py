"""Alloc.*: read and stop allocations. Source: spec/nomad-surface.md B4."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from daemon.model.alloc import Allocation, DesiredTransition
from daemon.model.enums import Trigger
from daemon.model.errors import NotFound
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.server.context import ServerContext
from daemon.server.queries import blocking, namespace_of, page, resolve
from daemon.state.commands import AllocTransition
from daemon.state.newest import Found, Wanted, index_of_key


class AllocEndpoints:
    """Handlers of Alloc.*."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve all of them."""
        dispatcher.serve(methods.ALLOC_LIST, self.list)
        dispatcher.serve(methods.ALLOC_GET, self.get)
        dispatcher.serve(methods.ALLOC_STOP, self.stop)

    def find(self, text: str) -> Allocation:
        """The allocation with that id or unique prefix. Raises NotFound, InvalidInput."""
        state = self._context.state
        alloc = state.alloc(resolve(state, "allocs", text, "allocation"))
        if alloc is None:
            raise NotFound(f"alloc not found: {text!r} was collected just now")
        return alloc

    async def list(self, request: m.AllocListRequest, caller: Caller) -> m.AllocListResponse:
        """Allocations of a job, a node, an evaluation, or all; newest first."""
        state = self._context.state

        def read() -> m.AllocListResponse:
            found: Iterable[Found]
            if request.eval or request.node:
                found = self._of_one(request)
            else:
                found = state.allocs_newest(index_of_key(request.next_token), _wanted(request))
            chosen = (each for each in found if each.id.startswith(request.prefix))
            taken, token = page(chosen, lambda each: each.key, request)
            rows = (each.make() for each in taken)
            return m.AllocListResponse(
                index=state.table_index("allocs"),
                allocations=tuple(
                    msgspec.structs.replace(row, metrics=None) for row in rows if row is not None
                ),
                next_token=token,
            )

        return await blocking(self._context, request, read)

    def _of_one(self, request: m.AllocListRequest) -> Sequence[Found]:
        """Those of one evaluation or node: few enough to be sorted."""
        state = self._context.state
        if request.eval:
            allocs = state.allocs_by_eval(resolve(state, "evals", request.eval, "evaluation"))
            wanted = _wanted(request)
        else:
            allocs = state.allocs_by_node(resolve(state, "nodes", request.node, "node"))
            wanted = _wanted(msgspec.structs.replace(request, namespace="*"))
        found = [
            Found(alloc.create_index, alloc.name, alloc.id, partial(state.alloc, alloc.id))
            for alloc in allocs
            if wanted(alloc.namespace, alloc.job_id)
        ]
        return sorted(found, key=lambda each: each.key)

    async def get(self, request: m.IdQuery, caller: Caller) -> m.AllocResponse:
        """One allocation, with the job version that it runs."""

        def read() -> m.AllocResponse:
            alloc = self.find(request.id)
            job = self._context.state.job_version(alloc.namespace, alloc.job_id, alloc.job_version)
            return m.AllocResponse(index=alloc.modify_index, allocation=alloc, job=job)

        return await blocking(self._context, request, read)

    async def stop(self, request: m.AllocStopRequest, caller: Caller) -> m.EvalIdResponse:
        """Stop an allocation; the scheduler replaces it."""
        alloc = self.find(request.id)
        job = self._context.state.job(alloc.namespace, alloc.job_id)
        if job is None:
            raise NotFound(
                f"job not found: {alloc.job_id!r} of allocation {alloc.id} is purged; it stops already"
            )
        evaluation = self._context.evaluation(job, Trigger.ALLOC_STOP)
        changes = await self._context.propose(
            AllocTransition(
                time_ns=self._context.clock.now_ns(),
                transitions={
                    alloc.id: DesiredTransition(migrate=True, no_shutdown_delay=request.no_shutdown_delay)
                },
                evaluations=(evaluation,),
            )
        )
        return m.EvalIdResponse(index=changes.index, eval_id=evaluation.id, eval_create_index=changes.index)


def _wanted(request: m.AllocListRequest) -> Wanted:
    """Which jobs' allocations are asked for."""
    namespace, job = namespace_of(request.namespace), request.job

    def wanted(its_namespace: str, its_job: str) -> bool:
        return namespace in ("*", its_namespace) and job in ("", its_job)

    return wanted
