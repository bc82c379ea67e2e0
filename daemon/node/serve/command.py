"""Carries a command that a person runs inside a task: frames of the caller here, the driver on its own loop there.

Theory: the driver calls `ExecIO` on the drivers' loop, the caller's stream lives on the agent's. Input waits in a
small queue on the driver's side, output is sent on the agent's side and waited for, so both directions push back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

from daemon.aio.scope import Scope
from daemon.model.base import decode, encode
from daemon.model.errors import EncampError
from daemon.node.drivers.remote import RemoteDriver
from daemon.node.ports import ServerStream
from daemon.rpc.messages import ExecInput, ExecOutput
from plugins.driver import DriverError, ExecIO, ExitResult

_QUEUE_MAX = 16


class BridgedIO(ExecIO):
    """ExecIO for the drivers' loop over a stream of the agent's loop."""

    def __init__(self, stream: ServerStream, theirs: asyncio.AbstractEventLoop) -> None:
        self._stream = stream
        self._ours = asyncio.get_running_loop()
        self._theirs = theirs
        # made here, used on the drivers' loop only: a queue binds to the loop on its first wait
        self._stdin: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE_MAX)
        self._sizes: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue(_QUEUE_MAX)

    async def pump(self) -> None:
        """Carry the caller's frames over until it sends no more. Runs on the agent's loop."""
        while (frame := await self._stream.recv()) is not None:
            input = decode(frame, ExecInput)
            if input.stdin:
                await self._over(self._stdin.put(input.stdin))
            if input.rows and input.columns:
                await self._over(self._sizes.put((input.rows, input.columns)))
            if input.close:
                await self._over(self._stdin.put(None))
        await self._over(self._stdin.put(None))
        await self._over(self._sizes.put(None))

    async def _over(self, putting: object) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(putting, self._theirs))  # type: ignore[arg-type]

    async def stdin(self) -> AsyncIterator[bytes]:
        """Chunks for the command's standard input."""
        while (chunk := await self._stdin.get()) is not None:
            yield chunk

    async def output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Send a chunk of output and wait until it is taken."""
        frame = encode(ExecOutput(stdout=data) if stream == "stdout" else ExecOutput(stderr=data))
        sending = asyncio.run_coroutine_threadsafe(self._stream.send(frame), self._ours)
        await asyncio.wrap_future(sending)

    async def resizes(self) -> AsyncIterator[tuple[int, int]]:
        """Sizes of the caller's terminal."""
        while (size := await self._sizes.get()) is not None:
            yield size


async def run_command(
    driver: RemoteDriver, task_id: str, argv: list[str], *, tty: bool, stream: ServerStream
) -> None:
    """Run it; the last frame says how it ended. The command is killed when the caller goes."""
    io = BridgedIO(stream, driver.loop)
    async with Scope("exec") as scope:
        running = scope.spawn(_end_of(driver, task_id, argv, tty, io), "command")
        pumping = scope.spawn(_pump(io), "input")
        await asyncio.wait([running, pumping], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            error = pumping.result()
            if error is not None:
                raise error  # the caller has gone; closing the scope cancels the command
            await asyncio.wait([running])
        last = running.result()
    await stream.send(encode(last))


async def _pump(io: BridgedIO) -> EncampError | None:
    try:
        await io.pump()
    except EncampError as error:
        return error
    return None


async def _end_of(driver: RemoteDriver, task_id: str, argv: list[str], tty: bool, io: ExecIO) -> ExecOutput:
    try:
        result: ExitResult = await driver.exec(task_id, argv, tty=tty, io=io)
    except DriverError as error:
        return ExecOutput(exited=True, exit_code=-1, error=error.message)
    code = 128 + result.signal if result.signal else result.exit_code
    return ExecOutput(exited=True, exit_code=code, error=result.error)
