"""A thread with its own event loop, in which the built-in drivers live.

Theory: a driver that blocks its loop for a while must not delay heartbeats, so drivers never run on the agent's
loop. `call` carries a coroutine over and its result back; cancelling the call cancels the coroutine there.

Not here: foreign drivers in a process of their own.
Source: architecture.md "What runs".
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from daemon.model.errors import Unavailable

T = TypeVar("T")

log = logging.getLogger("encamp.node")

_STOP_S = 10.0
#: how long a cancelled driver may unwind before its caller goes on.
_CANCEL_S = 20.0


class DriverHost:
    """The drivers' thread. `start` and `stop` may be called once each."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="encamp-drivers", daemon=True)
        self._stopping = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The drivers' loop."""
        return self._loop

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._unwind()
        finally:
            self._loop.close()

    def _unwind(self) -> None:
        """Cancel what is left, oldest first, and let it end."""
        left = sorted(asyncio.all_tasks(self._loop), key=lambda task: task.get_name())
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left, timeout=_STOP_S))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())

    async def call(self, work: Coroutine[Any, Any, T], *, timeout_s: float | None = None) -> T:
        """Run a coroutine on the drivers' loop and wait for its result.

        When the caller is cancelled or the time is up, the coroutine is cancelled there and its end waited for, so
        that what it does while it unwinds does not run beside the next call.
        Raises: what it raises; TimeoutError; Unavailable when the host is stopping.
        """
        if self._stopping or self._loop.is_closed():
            work.close()
            raise Unavailable("the drivers of this node are being shut down")
        ours = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = ours.create_future()
        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())
        carried = asyncio.run_coroutine_threadsafe(_carry(work, outcome, ours), self._loop)
        try:
            await asyncio.wait([outcome], timeout=timeout_s)
            if outcome.done():
                return outcome.result()
        except asyncio.CancelledError:
            carried.cancel()
            await asyncio.wait([outcome], timeout=_CANCEL_S)
            raise
        carried.cancel()
        await asyncio.wait([outcome], timeout=_CANCEL_S)
        raise TimeoutError(f"the driver did not answer within {timeout_s:g} s")

    async def stop(self) -> None:
        """Cancel what runs on the loop and end the thread; bounded in time."""
        self._stopping = True
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, 2 * _STOP_S)
        if self._thread.is_alive():
            log.error(
                "the drivers' thread has not ended within %g s; it is left to the process's end", 2 * _STOP_S
            )


async def _carry(
    work: Coroutine[Any, Any, T], outcome: asyncio.Future[T], ours: asyncio.AbstractEventLoop
) -> None:
    """Await `work` on the drivers' loop and put its end into a future of the caller's loop."""
    error: BaseException | None = None
    value: Any = None
    try:
        value = await work
    except asyncio.CancelledError:
        error = Unavailable("the call to the driver was cancelled")
    except Exception as caught:
        error = caught

    def finish() -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(value)
        else:
            outcome.set_exception(error)

    try:
        ours.call_soon_threadsafe(finish)
    except RuntimeError:
        log.debug("the loop that called a driver is gone")
