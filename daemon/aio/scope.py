"""A scope owns asyncio tasks; nothing that it has started outlives it.

Theory: asyncio.TaskGroup keeps its tasks in a set and cancels them in the order of their addresses, which would
make a simulation unrepeatable. A Scope keeps them in the order in which they were started and closes the newest
first, as a stack unwinds. A task that fails is reported once, through `on_failure`; it does not pull down its
siblings unless the owner wants that.

Not here: restarting what has failed (see retry.py), threads, processes.
Source: architecture.md section 5.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger("encamp.scope")

#: seconds after which a task that has not ended is cancelled once more.
RECANCEL_S = 1.0


class Scope:
    """Ordered owner of tasks. Use `async with Scope("name") as scope` or `close()` in a finally."""

    def __init__(self, name: str, *, on_failure: Callable[[str, BaseException], None] | None = None) -> None:
        self.name = name
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._on_failure = on_failure
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    async def __aenter__(self) -> Scope:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start a task that this scope owns.

        Raises: RuntimeError when the scope is closed (the coroutine is closed, not leaked).
        """
        if self._closed:
            work.close()
            raise RuntimeError(f"scope {self.name!r} is closed; cannot start {name!r}")
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}/{name}")
        self._tasks[task] = None
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if self._on_failure is not None:
            self._on_failure(task.get_name(), error)
        else:
            log.error("task %s failed", task.get_name(), exc_info=error)

    async def drain(self) -> None:
        """Wait until all tasks have ended by themselves."""
        while self._tasks:
            await asyncio.wait([next(iter(self._tasks))])

    async def close(self) -> None:
        """Cancel all tasks, newest first, and wait until each has ended. Idempotent."""
        self._closed = True
        while self._tasks:
            task = next(reversed(self._tasks))
            if task is asyncio.current_task():
                self._tasks.pop(task)
                continue
            while not task.done():
                # again if need be: some waits of the standard library swallow a cancellation that comes
                # in the moment in which they are fulfilled (asyncio.wait_for before Python 3.12)
                task.cancel()
                await asyncio.wait([task], timeout=RECANCEL_S)
            self._tasks.pop(task, None)
