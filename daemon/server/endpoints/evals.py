"""Eval.*: read evaluations, with the explanation of what could not be placed. Source: spec/nomad-surface.md B5."""

from __future__ import annotations

from daemon.model.evaluation import Evaluation
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.server.context import ServerContext
from daemon.server.queries import blocking, namespace_of, page, resolve
from daemon.server.why import explanations


class EvalEndpoints:
    """Handlers of Eval.*."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve all of them."""
        dispatcher.serve(methods.EVAL_LIST, self.list)
        dispatcher.serve(methods.EVAL_GET, self.get)

    async def list(self, request: m.EvalListRequest, caller: Caller) -> m.EvalListResponse:
        """Evaluations, newest first."""
        state = self._context.state

        def read() -> m.EvalListResponse:
            namespace = namespace_of(request.namespace)
            if request.job and namespace != "*":
                found = list(state.evals_by_job(namespace, request.job))
            else:
                found = [e for e in state.evals() if namespace in ("*", e.namespace)]
            wanted = [e for e in found if self._matches(e, request)]
            wanted.sort(key=lambda e: (-e.create_index, e.id))
            taken, token = page(wanted, lambda e: f"{2**62 - e.create_index:019d}.{e.id}", request)
            return m.EvalListResponse(
                index=state.table_index("evals"), evaluations=tuple(taken), next_token=token
            )

        return await blocking(self._context, request, read)

    @staticmethod
    def _matches(evaluation: Evaluation, request: m.EvalListRequest) -> bool:
        return (
            (not request.job or evaluation.job_id == request.job)
            and (not request.status or evaluation.status == request.status)
            and evaluation.id.startswith(request.prefix)
        )

    async def get(self, request: m.IdQuery, caller: Caller) -> m.EvalResponse:
        """One evaluation, those related to it, and why its groups were not placed."""
        state = self._context.state
        id_ = resolve(state, "evals", request.id, "evaluation")

        def read() -> m.EvalResponse:
            evaluation = state.eval(id_)
            if evaluation is None:
                resolve(state, "evals", id_, "evaluation")
                raise AssertionError(id_)
            links = (evaluation.previous_eval, evaluation.next_eval, evaluation.blocked_eval)
            related = [e for e in (state.eval(link) for link in links if link) if e is not None]
            return m.EvalResponse(
                index=evaluation.modify_index,
                evaluation=evaluation,
                explanations=explanations(state, evaluation),
                related=tuple(related),
            )

        return await blocking(self._context, request, read)
