"""Operator.*: settings of the scheduler at run time. Source: spec/nomad-surface.md B6."""

from __future__ import annotations

from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.server.context import ServerContext
from daemon.server.queries import blocking
from daemon.state.commands import SchedulerConfigSet


class OperatorEndpoints:
    """Handlers of Operator.Scheduler*."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve both."""
        dispatcher.serve(methods.SCHEDULER_GET_CONFIG, self.get)
        dispatcher.serve(methods.SCHEDULER_SET_CONFIG, self.set)

    async def get(self, request: m.Query, caller: Caller) -> m.SchedulerConfigResponse:
        """The settings as they are."""
        state = self._context.state

        def read() -> m.SchedulerConfigResponse:
            config = state.scheduler_config
            return m.SchedulerConfigResponse(index=max(config.modify_index, 1), scheduler_config=config)

        return await blocking(self._context, request, read)

    async def set(self, request: m.SchedulerConfigRequest, caller: Caller) -> m.SchedulerConfigResponse:
        """Replace the settings; with `cas` only if they are still those of that index."""
        changes = await self._context.propose(
            SchedulerConfigSet(
                time_ns=self._context.clock.now_ns(),
                config=request.scheduler_config,
                check_index=request.modify_index if request.cas else None,
            )
        )
        config = self._context.state.scheduler_config
        return m.SchedulerConfigResponse(index=changes.index, scheduler_config=config, updated=True)
