"""The one helper that retries, with jittered exponential backoff and a limit."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger("encamp.retry")


def backoff_s(attempt: int, *, first_s: float, max_s: float, random_: random.Random) -> float:
    """Seconds to wait before the attempt after number `attempt` (from 1): full-range jitter over 50-100%."""
    base = min(max_s, first_s * 2.0 ** min(attempt - 1, 30))
    return base * (0.5 + 0.5 * random_.random())


async def retry(
    what: str,
    work: Callable[[], Awaitable[T]],
    *,
    on: tuple[type[BaseException], ...],
    first_s: float = 0.1,
    max_s: float = 5.0,
    attempts: int | None = None,
    random_: random.Random | None = None,
) -> T:
    """Call `work` until it succeeds; wait between tries. `attempts` None: for ever (the caller may cancel).

    Raises: the last error once the attempts are used up; any error that is not in `on`, at once.
    """
    random_ = random_ or random.Random()
    attempt = 0
    while True:
        attempt += 1
        try:
            return await work()
        except on as error:
            if attempts is not None and attempt >= attempts:
                raise
            wait_s = backoff_s(attempt, first_s=first_s, max_s=max_s, random_=random_)
            log.warning("%s failed (try %d): %s; again in %.1f s", what, attempt, error, wait_s)
            await asyncio.sleep(wait_s)
