"""Scopes end what they have started, in order; retries stop; signals are level-triggered."""

from __future__ import annotations

import asyncio
import random

import pytest

from daemon.aio.retry import backoff_s, retry
from daemon.aio.scope import Scope
from daemon.aio.signal import Signal


async def test_the_newest_task_ends_first() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async with Scope("test") as scope:
        for name in ("a", "b", "c"):
            scope.spawn(work(name), name)
        await asyncio.sleep(0)
    assert ended == ["c", "b", "a"]
    assert len(scope) == 0


async def test_a_swallowed_cancellation_is_sent_again() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    scope = Scope("test")
    scope.spawn(stubborn(), "stubborn")
    await asyncio.sleep(0)
    await asyncio.wait_for(scope.close(), 10)


async def test_a_failure_is_reported_once_and_spares_the_others() -> None:
    failures: list[str] = []
    scope = Scope("test", on_failure=lambda name, error: failures.append(f"{name}: {error}"))

    async def fail() -> None:
        raise ValueError("broken")

    other = scope.spawn(asyncio.Event().wait(), "other")
    scope.spawn(fail(), "bad")
    while not failures:
        await asyncio.sleep(0)
    assert failures == ["test/bad: broken"]
    assert not other.done()
    await scope.close()


async def test_nothing_starts_in_a_closed_scope() -> None:
    scope = Scope("test")
    await scope.close()
    with pytest.raises(RuntimeError, match="closed"):
        scope.spawn(asyncio.sleep(0), "late")


async def test_a_signal_that_came_before_is_seen() -> None:
    signal = Signal()
    seen = signal.value
    signal.notify()
    assert await signal.wait_past(seen, 0)
    assert not await signal.wait_past(signal.value, 0.01)
    waiting = asyncio.ensure_future(signal.wait_past(signal.value))
    await asyncio.sleep(0)
    signal.raise_to(signal.value)
    assert not waiting.done()
    signal.raise_to(signal.value + 5)
    assert await asyncio.wait_for(waiting, 5)


async def test_retry_gives_up_after_its_attempts() -> None:
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        raise OSError("not yet")

    with pytest.raises(OSError, match="not yet"):
        await retry("the test", work, on=(OSError,), first_s=0.001, attempts=3)
    assert calls == 3


def test_backoff_doubles_up_to_its_limit() -> None:
    waits = [backoff_s(n, first_s=1, max_s=5, random_=random.Random(1)) for n in range(1, 6)]
    for wait, base in zip(waits, (1, 2, 4, 5, 5), strict=True):
        assert base / 2 <= wait <= base
