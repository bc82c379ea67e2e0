"""Ends work whose group asks for it when no server hears of this node for too long.

Theory: the servers place such a group again only after the time by which its lost work must have ended by itself, so
that two never run at once. The clock is the node's own: it counts from the last heartbeat that a server took, or from
the agent's start.

Source: spec/scheduler.md 1.2 (disconnect), 6.6.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from daemon.model.job import TaskGroup
from daemon.node.runner.alloc_runner import AllocRunner

_TICK_S = 0.5
REASON = "No server has heard of this node for longer than stop_on_client_after allows"


def must_stop(group: TaskGroup | None, silent_s: float) -> bool:
    """True when work of the group must end after that long without a server."""
    disconnect = group.disconnect if group is not None else None
    if disconnect is None or disconnect.stop_on_client_after_ns is None:
        return False
    return silent_s >= disconnect.stop_on_client_after_ns / 1e9


class ClientStop:
    """One loop, `run`, owned by the node agent."""

    def __init__(self, runners: Callable[[], Iterable[AllocRunner]], silent_s: Callable[[], float]) -> None:
        self._runners = runners
        self._silent_s = silent_s
        self._stopped: set[str] = set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(_TICK_S)
            self.look()

    def look(self) -> None:
        """End what must end now."""
        silent_s = self._silent_s()
        for runner in list(self._runners()):
            alloc = runner.placed.alloc
            group = runner.placed.job.group(alloc.task_group)
            if alloc.id in self._stopped or runner.done.is_set() or not must_stop(group, silent_s):
                continue
            self._stopped.add(alloc.id)
            runner.stop(REASON, force=True)
        self._stopped &= {runner.alloc_id for runner in self._runners()}
