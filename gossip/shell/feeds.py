"""Event streams for readers of any speed: bounded, and a slow one is told to start anew.

Theory: the gossip loop never waits for a reader. A feed that is full is emptied and gets one RESYNC event, after which
its reader looks at `members()`; nothing else is lost, because the table is the truth and events only say what changed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from gossip import limits
from gossip.model import Event, EventKind


class Feed:
    """One reader's events: iterate it with `async for`; ends when the member stops or the feed is closed."""

    def __init__(self, on_close: Callable[[Feed], None], size: int = limits.FEED_EVENTS_MAX) -> None:
        self._events: deque[Event] = deque()
        self._size = size
        self._wake = asyncio.Event()
        self._on_close = on_close
        self._ended = False
        self.resyncs = 0

    def push(self, event: Event) -> None:
        """Add an event, never waiting."""
        if self._ended:
            return
        if len(self._events) >= self._size:
            self._events.clear()
            self._events.append(Event(kind=EventKind.RESYNC))
            self.resyncs += 1
        self._events.append(event)
        self._wake.set()

    def end(self) -> None:
        """No more events will come; those that wait can still be read."""
        self._ended = True
        self._wake.set()

    def close(self) -> None:
        """The reader goes away."""
        self.end()
        self._events.clear()
        self._on_close(self)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()
