"""Joins two streams: what comes in on one goes out on the other, with the credit of both."""

from __future__ import annotations

from daemon.aio.scope import Scope
from daemon.rpc.stream import Stream


async def splice(near: Stream, far: Stream) -> None:
    """Pass frames both ways until the far side ends. Its error becomes ours."""

    async def forward() -> None:
        while (data := await near.recv()) is not None:
            await far.send(data)
        far.end()

    async with Scope("splice", on_failure=lambda name, error: None) as scope:
        scope.spawn(forward(), "forward")
        while (data := await far.recv()) is not None:
            await near.send(data)
        near.end()
