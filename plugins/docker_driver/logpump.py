"""Copies a container's output into the task's rotated log files, and goes on after a break where it was.

Theory: the engine keeps a task's recent output itself (by default two files of 2 MB), so the pump may be
away, with the agent or the engine, and catch up. Bytes are written first and the position after them, in
one small write into a file that stays open: a kill between the two writes one batch (64 KiB at most)
twice, and loses nothing. What the engine itself has thrown away while nobody read is lost; that is the
bound.
Not here: what a stream's bytes mean (logframes).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from plugins.docker_driver.engine import Engine, pauses
from plugins.docker_driver.logframes import FrameError, FrameReader, LineReader, Position, Resume, StreamName
from plugins.docker_driver.stream import EngineDown, EngineError, EngineStream
from plugins.driver import LogConfig
from plugins.logs.limit import Bucket
from plugins.logs.rotate import RotatingFile

T = TypeVar("T")

MIB: Final = 2**20
#: pause between attempts when only the rest of an ended container's output is missing.
ENDED_PAUSE_S: Final = 0.25
#: how long a stream may go on following an ended container.
FOLLOW_GRACE_S: Final = 1.0
#: how long an old engine's output gathers before it is read, so that a busy task costs few readings.
BELL_PAUSE_S: Final = 0.2
NO_READING_STATUS: Final = (500, 501)


async def _ring(stream: EngineStream, bell: asyncio.Event) -> None:
    """Throw away what comes, and say that something came."""
    while await stream.read():
        bell.set()


class PositionFile:
    """The position of one task's pump on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def load(self) -> Position:
        """The stored position; the beginning when there is none or it cannot be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes().strip(), type=Position)
        except (OSError, msgspec.MsgspecError):
            return Position()

    def store(self, position: Position) -> None:
        """Write the position in place; padded, so that a shorter one covers a longer one."""
        if self._fd < 0:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._fd, msgspec.json.encode(position).ljust(256) + b"\n", 0)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class LogPump:
    """The pump of one container. `run` ends when the container has stopped and all is written."""

    def __init__(
        self,
        engine: Engine,
        container: str,
        *,
        task: str,
        logs: LogConfig,
        tty: bool,
        position: Path,
        pool: Executor,
        logger: logging.Logger,
        report: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.engine = engine
        self.container = container
        self.task = task
        self.logs = logs
        self.tty = tty
        self.pool = pool
        self.logger = logger
        self.report = report
        self._ended = asyncio.Event()
        self._stream: EngineStream | None = None
        self._abandoned = False
        self._file = PositionFile(position)
        self._files: dict[StreamName, RotatingFile] = {}

    def container_ended(self) -> None:
        """Told by the watch: what is left shall be written now, without pauses and limits."""
        self._ended.set()
        asyncio.get_running_loop().call_later(FOLLOW_GRACE_S, self._abandon)

    def _abandon(self) -> None:
        """End a stream that follows although nothing comes: an engine that was restarted never closes it."""
        if self._stream is not None:
            self._abandoned = True
            self._stream.writer.transport.abort()

    async def _sleep(self, pause_s: float) -> None:
        """Pause between attempts; the container's end cuts it short."""
        if self._ended.is_set():
            await asyncio.sleep(min(pause_s, ENDED_PAUSE_S))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._ended.wait()

    async def run(self) -> None:
        """Copy until the container has ended; survives an engine that goes away and a disk that is full."""
        position = await self._in_pool(self._file.load)
        wait = pauses()
        try:
            while True:
                resume = Resume(position)
                try:
                    await self._copy(resume)
                    if not self._abandoned and not await self._is_running():
                        return
                    self._abandoned = False
                except EngineDown as error:
                    self.logger.debug("log stream of %s broke: %s", self.container, error)
                except FrameError as error:
                    self.logger.warning("log stream of %s: %s; reading it again", self.container, error)
                except EngineError as error:
                    if error.status == 404:
                        return
                    if error.status in NO_READING_STATUS and "reading" in error.message:
                        self.report(f"Logs cannot be collected: {error.message}")
                        return
                    self.logger.warning("cannot read logs of container %s: %s", self.container, error)
                if resume.position != position:
                    wait = pauses()
                position = resume.position
                await self._sleep(next(wait))
        finally:
            self.close()

    async def _is_running(self) -> bool:
        state = (await self.engine.inspect(self.container)).get("State", {})
        return bool(state.get("Running"))

    async def _copy(self, resume: Resume) -> None:
        """Everything from the position to the container's end, or to a break."""
        if self._ended.is_set():
            await self._read(resume, follow=False)
        elif await self.engine.follows_rotation():
            await self._read(resume, follow=True)
        else:
            await self._read_on_bell(resume)

    async def _read_on_bell(self, resume: Resume) -> None:
        """Follow an engine whose following stream skips and repeats when its files rotate.

        The following stream only rings; each ring is answered by a reading of what the engine has kept, which
        is exact. Old engines only, since each reading begins at the front of the engine's file.
        """
        bell = asyncio.Event()
        async with self._open(resume, follow=True) as stream:
            self._stream = stream
            ringing = asyncio.create_task(_ring(stream, bell), name=f"docker log bell {self.container[:12]}")
            try:
                while not ringing.done():
                    bell.clear()
                    await self._read(resume, follow=False)
                    waiter = asyncio.create_task(bell.wait(), name="docker log bell wait")
                    await asyncio.wait([ringing, waiter], return_when=asyncio.FIRST_COMPLETED)
                    waiter.cancel()
                    await asyncio.wait([waiter])
                    await asyncio.wait([ringing], timeout=BELL_PAUSE_S)
            finally:
                ringing.cancel()
                await asyncio.wait([ringing])
        if not ringing.cancelled() and (error := ringing.exception()) is not None:
            raise error
        await self._read(resume, follow=False)

    def _open(self, resume: Resume, *, follow: bool) -> AbstractAsyncContextManager[EngineStream]:
        query: dict[str, str | int] = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
        since = resume.position.since()
        if since:
            query["since"] = since
        path = f"/containers/{self.container}/logs"
        return self.engine.stream("GET", path, query=query, answer_timeout_s=None)

    async def _read(self, resume: Resume, *, follow: bool) -> None:
        """One stream from the position to its end."""
        again = Resume(resume.position)
        reader = LineReader() if self.tty else FrameReader()
        bucket = Bucket(self.logs.rate_limit_bytes, asyncio.get_running_loop().time())
        async with self._open(resume, follow=follow) as stream:
            if follow:
                self._stream = stream
            while True:
                chunk = await stream.read()
                messages = reader.feed(chunk) if chunk else reader.finish()
                if not chunk and messages and (self._abandoned or await self._is_running()):
                    return  # the connection broke inside a line, which will come again
                fresh = again.accept(messages)
                resume.position = again.position
                if fresh:
                    await self._store(fresh, resume.position)
                    await self._pace(bucket, sum(map(len, fresh.values())))
                if not chunk:
                    return

    async def _pace(self, bucket: Bucket, count: int) -> None:
        """Slow down to the rate limit; once the container has ended, the rest may pass."""
        loop = asyncio.get_running_loop()
        bucket.took(count)
        while not self._ended.is_set() and bucket.rate_bytes and bucket.allowed(1, loop.time()) < 1:
            await self._sleep(bucket.delay_s())

    async def _store(self, fresh: dict[StreamName, bytes], position: Position) -> None:
        """Write, and try again while the disk is full: the engine keeps what we do not take."""
        wait = pauses(0.5, 10.0)
        told = False
        while True:
            try:
                await self._in_pool(lambda: self._write(fresh, position))
                return
            except OSError as error:
                if not told:
                    told = True
                    self.report(f"Logs cannot be written to {self.logs.dir}: {error}; trying again")
                await self._sleep(next(wait))

    def _write(self, fresh: dict[StreamName, bytes], position: Position) -> None:
        """Runs in a thread. What is written is taken out of `fresh`, so that a second try does not repeat it."""
        for name in list(fresh):
            if name not in self._files:
                self._files[name] = RotatingFile(
                    self.logs.dir,
                    f"{self.task}.{name}",
                    files_max=self.logs.max_files,
                    file_max_bytes=self.logs.max_file_size_mb * MIB,
                )
            self._files[name].write(fresh[name])
            del fresh[name]
        self._file.store(position)

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    def close(self) -> None:
        """Close the files. Idempotent."""
        for file in self._files.values():
            with suppress(OSError):
                file.close()
        self._files.clear()
        self._file.close()
