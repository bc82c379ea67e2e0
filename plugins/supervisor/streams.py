"""Carry a command's streams between the supervisor and whoever asked for it, with or without a terminal.

Theory: the command gets ends of fresh pipes, or the far side of a fresh pseudo-terminal; we move bytes on the
caller's loop with no more in flight than one chunk per stream, so a slow reader slows the command. When the
command has ended, output that is already written is still delivered; a descendant that keeps the pipe open is
not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from plugins.driver import ExecIO, ExitResult
from plugins.supervisor.client import SupervisorClient
from plugins.supervisor.types import CommandSpec

_CHUNK_BYTES = 32 * 1024
#: how long to wait for the end of output after the command has ended.
_TAIL_S = 0.5


async def run_command(
    client: SupervisorClient,
    task_id: str,
    spec: CommandSpec,
    io: ExecIO,
    *,
    on_resize: Callable[[], None] = lambda: None,
) -> ExitResult:
    """Run a command beside a task and carry its streams. Cancelling kills it. Raises: DriverError."""
    session = _Terminal() if spec.tty else _Pipes()
    outputs: list[asyncio.Task[None]] = []
    inputs: list[asyncio.Task[None]] = []
    command = asyncio.ensure_future(client.run(task_id, spec, session.child))
    try:
        outputs = [asyncio.ensure_future(_deliver(fd, name, io)) for fd, name in session.outputs]
        inputs = [asyncio.ensure_future(_feed(session, io))]
        if isinstance(session, _Terminal):
            inputs.append(asyncio.ensure_future(_resize(session, io, on_resize)))
        while not command.done():
            pending: list[asyncio.Future[Any]] = [command, *(task for task in outputs if not task.done())]
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in outputs:
                if task.done() and task.exception() is not None:
                    # the caller has gone; nobody reads any more
                    raise task.exception() or ConnectionError
        result = command.result()
        waiting = [task for task in outputs if not task.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=_TAIL_S)
        return result
    finally:
        every: list[asyncio.Future[Any]] = [command, *outputs, *inputs]
        for future in every:
            future.cancel()
        await asyncio.gather(*every, return_exceptions=True)
        session.close()


class _Session:
    """Descriptors of one command: `child` is given away, the rest is ours."""

    child: tuple[int, int, int]
    stdin: int
    outputs: list[tuple[int, Literal["stdout", "stderr"]]]

    def end_input(self) -> None:
        """Tell the command that there is no more input."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def close(self) -> None:
        """Close what is ours."""
        for fd, _ in self.outputs:
            os.close(fd)
        self.outputs = []
        self.end_input()


class _Pipes(_Session):
    def __init__(self) -> None:
        in_read, self.stdin = os.pipe2(os.O_CLOEXEC)
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        self.child = (in_read, out_write, err_write)
        self.outputs = [(out_read, "stdout"), (err_read, "stderr")]
        for fd in (self.stdin, out_read, err_read):
            os.set_blocking(fd, False)


class _Terminal(_Session):
    def __init__(self) -> None:
        self.master, slave = os.openpty()
        os.set_blocking(self.master, False)
        self.child = (slave, os.dup(slave), os.dup(slave))
        self.stdin = os.dup(self.master)
        self.outputs = [(self.master, "stdout")]
        # a size that programs can live with until the caller tells his
        self.resize(24, 80)

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size; the kernel sends SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end_input(self) -> None:
        """A terminal has no end of file of its own: type the character that means it."""
        if self.stdin >= 0:
            with contextlib.suppress(OSError):
                os.write(self.stdin, b"\x04")
        super().end_input()


async def _until(add: Callable[..., Any], remove: Callable[[int], Any], fd: int) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(fd, wake)
    try:
        await ready
    finally:
        remove(fd)


def _readable(fd: int) -> Coroutine[Any, Any, None]:
    loop = asyncio.get_running_loop()
    return _until(loop.add_reader, loop.remove_reader, fd)


def _writable(fd: int) -> Coroutine[Any, Any, None]:
    loop = asyncio.get_running_loop()
    return _until(loop.add_writer, loop.remove_writer, fd)


async def _deliver(fd: int, name: Literal["stdout", "stderr"], io: ExecIO) -> None:
    while True:
        try:
            data = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            await _readable(fd)
            continue
        except OSError as error:
            if error.errno == errno.EIO:
                return  # the far side of a terminal is closed
            raise
        if not data:
            return
        await io.output(name, data)


async def _feed(session: _Session, io: ExecIO) -> None:
    async for data in io.stdin():
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(session.stdin, view) :]
            except BlockingIOError:
                await _writable(session.stdin)
            except OSError:
                return  # the command reads no more
    session.end_input()


async def _resize(session: _Terminal, io: ExecIO, on_resize: Callable[[], None]) -> None:
    async for rows, columns in io.resizes():
        session.resize(rows, columns)
        on_resize()
