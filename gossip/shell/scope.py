"""Owns asyncio tasks: nothing started in a scope outlives it.

Theory: tasks are kept in the order of their start and closed the newest first, so that a run is repeatable (a TaskGroup
cancels in the order of addresses). A task that fails is reported in the log and pulls nothing else down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger("gossip")


class Scope:
    """An ordered owner of tasks; call `close()` in a finally."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T] | None:
        """Start a task; None (and nothing leaks) when the scope is closed."""
        if self._closed:
            work.close()
            return None
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}/{name}")
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("task %s failed", task.get_name(), exc_info=task.exception())

    async def close(self) -> None:
        """Cancel everything, newest first, and wait for each. Idempotent."""
        self._closed = True
        while self._tasks:
            task = next(reversed(self._tasks))
            self._tasks.pop(task)
            if task is not asyncio.current_task():
                task.cancel()
                await asyncio.wait([task])
