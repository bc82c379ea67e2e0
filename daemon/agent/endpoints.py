"""Methods about the agent itself: who it is, and its live log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from daemon.agent.logs import LEVELS, JsonFormatter, MonitorHandler, TextFormatter
from daemon.model.errors import InvalidInput
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.stream import Stream

#: seconds between two looks for new log lines of a monitor.
LOOK_S = 0.1


class AgentEndpoints:
    """Handlers of Agent.*."""

    def __init__(self, describe: Callable[[], m.AgentSelfResponse], monitor: MonitorHandler) -> None:
        self._describe = describe
        self._monitor = monitor

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve all of them."""
        dispatcher.serve(methods.AGENT_SELF, self.self_)
        dispatcher.serve_stream(methods.AGENT_MONITOR, self.monitor)

    async def self_(self, request: m.Query, caller: Caller) -> m.AgentSelfResponse:
        """The agent that answers, its configuration and figures."""
        return self._describe()

    async def monitor(self, request: m.MonitorRequest, stream: Stream, caller: Caller) -> None:
        """Log lines from now on, a few recent ones first."""
        level = LEVELS.get(request.log_level.upper())
        if level is None:
            raise InvalidInput(f"unknown log level {request.log_level!r}: use one of {', '.join(LEVELS)}")
        formatter: logging.Formatter = JsonFormatter() if request.log_json else TextFormatter()
        count = max(0, self._monitor.count - 32)
        while True:
            for number, record in self._monitor.since(count):
                count = number
                if record.levelno >= level:
                    await stream.send(formatter.format(record).encode() + b"\n")
            await asyncio.sleep(LOOK_S)
