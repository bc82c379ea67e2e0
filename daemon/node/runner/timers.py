"""The timers of one runner on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from daemon.node.runner.effects import Timer


class Timers:
    """Each (task, timer) is armed at most once; arming again replaces."""

    def __init__(self, fire: Callable[[str, Timer], None]) -> None:
        self._fire = fire
        self._armed: dict[tuple[str, Timer], asyncio.TimerHandle] = {}

    def set(self, task: str, timer: Timer, delay_s: float) -> None:
        """Arm; a moment that has passed fires at once."""
        self.cancel(task, timer)
        loop = asyncio.get_running_loop()
        self._armed[task, timer] = loop.call_later(max(0.0, delay_s), self._due, task, timer)

    def _due(self, task: str, timer: Timer) -> None:
        self._armed.pop((task, timer), None)
        self._fire(task, timer)

    def cancel(self, task: str, timer: Timer) -> None:
        """Disarm, if it is armed."""
        handle = self._armed.pop((task, timer), None)
        if handle is not None:
            handle.cancel()

    def close(self) -> None:
        """Disarm all."""
        for handle in self._armed.values():
            handle.cancel()
        self._armed.clear()
