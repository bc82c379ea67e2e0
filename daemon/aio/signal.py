"""A level-triggered signal: waiters see a change that came before they began to wait."""

from __future__ import annotations

import asyncio


class Signal:
    """A counter that can be waited on. `wait_past(n)` returns at once when the counter is past n already."""

    def __init__(self) -> None:
        self.value = 0
        self._waiters: dict[asyncio.Future[None], None] = {}

    def raise_to(self, value: int) -> None:
        """Move the counter (never back) and wake all waiters."""
        if value <= self.value:
            return
        self.value = value
        for waiter in list(self._waiters):
            if not waiter.done():
                waiter.set_result(None)

    def notify(self) -> None:
        """Raise the counter by one."""
        self.raise_to(self.value + 1)

    async def wait_past(self, value: int, timeout_s: float | None = None) -> bool:
        """Wait until the counter is greater than `value`. False when the time is up first."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while self.value <= value:
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                return False
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters[waiter] = None
            try:
                await asyncio.wait([waiter], timeout=left)
            finally:
                self._waiters.pop(waiter, None)
        return True
