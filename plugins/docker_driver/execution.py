"""Runs a command inside a container for a caller: input, output, window size, exit code.

Theory: the engine's exec is created through the SDK and started on an upgraded socket on the loop. The
engine has no way to end an exec; when the caller leaves, its process is killed on the host where the
engine is local: found by the pid that the engine names, held by pidfd, and killed only if its cgroup
belongs to the container.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from plugins.docker_driver.engine import Engine, pauses
from plugins.docker_driver.logframes import FrameReader
from plugins.docker_driver.stream import EngineError, EngineStream
from plugins.driver import DriverError, ExecIO, ExitResult

END_TIMEOUT_S: Final = 10.0


async def run_exec(
    engine: Engine, container: str, argv: list[str], *, tty: bool, io: ExecIO, env: dict[str, str] | None
) -> ExitResult:
    """Run a command and return how it ended. Raises DriverError when it cannot be started."""
    environment = [f"{key}={value}" for key, value in (env or {}).items()]
    try:
        made = await engine.call(
            lambda client: client.exec_create(
                container, argv, stdout=True, stderr=True, stdin=True, tty=tty, environment=environment
            )
        )
    except EngineError as error:
        if error.status == 409:
            raise DriverError(f"the container does not run, so nothing can be run in it: {error}") from error
        raise
    exec_id = str(made["Id"])
    start: dict[str, Any] = {"Detach": False, "Tty": tty}
    ended = False
    try:
        async with engine.stream("POST", f"/exec/{exec_id}/start", body=start, upgrade=True) as stream:
            async with _feeding(engine, exec_id, stream, io, tty):
                await _copy_output(stream, io, tty)
        result = await _result(engine, exec_id)
        ended = True
        return result
    finally:
        if not ended:
            await asyncio.shield(asyncio.ensure_future(_kill(engine, container, exec_id)))


@asynccontextmanager
async def _feeding(
    engine: Engine, exec_id: str, stream: EngineStream, io: ExecIO, tty: bool
) -> AsyncIterator[None]:
    """Own the two helpers that carry input and window sizes while the block runs."""
    helpers = [asyncio.create_task(_copy_input(stream, io), name=f"docker exec input {exec_id[:12]}")]
    if tty:
        helpers.append(
            asyncio.create_task(_resize(engine, exec_id, io), name=f"docker exec size {exec_id[:12]}")
        )
    try:
        yield
    finally:
        for aio_task in helpers:
            aio_task.cancel()
        await asyncio.wait(helpers)
        for aio_task in helpers:
            if not aio_task.cancelled():
                aio_task.exception()  # a broken pipe shows in the output's end too, which decides


async def _copy_input(stream: EngineStream, io: ExecIO) -> None:
    async for chunk in io.stdin():
        await stream.write(chunk)
    stream.write_eof()


async def _resize(engine: Engine, exec_id: str, io: ExecIO) -> None:
    async for rows, columns in io.resizes():
        with suppress(EngineError):  # the command may have ended meanwhile
            await engine.call(
                lambda client, rows=rows, columns=columns: client.exec_resize(
                    exec_id, height=rows, width=columns
                )  # type: ignore[misc]
            )


async def _copy_output(stream: EngineStream, io: ExecIO, tty: bool) -> None:
    """A terminal's output is bare; otherwise it comes in frames, without times."""
    reader = FrameReader()
    while chunk := await stream.read():
        if tty:
            await io.output("stdout", chunk)
            continue
        for message in reader.feed(chunk):
            await io.output(message.stream, message.data)


async def _result(engine: Engine, exec_id: str) -> ExitResult:
    """The exit code; the engine may say "running" for a moment after the output's end."""
    try:
        async with asyncio.timeout(END_TIMEOUT_S):
            for pause_s in pauses(0.02, 0.5):
                found = await engine.call(lambda client: client.exec_inspect(exec_id))
                if not found.get("Running") and found.get("ExitCode") is not None:
                    return ExitResult(exit_code=int(found["ExitCode"]))
                await asyncio.sleep(pause_s)
    except TimeoutError:
        pass
    return ExitResult(
        error=f"the command closed its output and went on for over {END_TIMEOUT_S:g} s; it was killed"
    )


async def _kill(engine: Engine, container: str, exec_id: str) -> None:
    """End what a caller left behind, if the engine runs on this machine."""
    if not engine.address.socket_path:
        return
    with suppress(DriverError):
        found = await engine.call(lambda client: client.exec_inspect(exec_id))
        pid = int(found.get("Pid") or 0)
        if found.get("Running") and pid > 0:
            _kill_in_container(pid, str(found.get("ContainerID") or container))


def _kill_in_container(pid: int, container_id: str) -> None:
    """Kill a process if it is what we think: the descriptor is taken first, then its cgroup is looked at."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        with suppress(OSError):
            if container_id in Path(f"/proc/{pid}/cgroup").read_text():
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)
