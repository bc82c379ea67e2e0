"""Reads a task's log as one stream of bytes over its rotated files.

Theory: a stream is the files `TASK.stdout.N` in the order of N; the writer only adds to the newest and removes the
oldest. A reader holds the file that it is in open, so a removal under it loses nothing that it has not read; when
that file is at its end and a newer one exists, it goes on there. Files removed before it came are skipped.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

from daemon.model.errors import InvalidInput, NotFound
from daemon.node.disk.contain import open_file
from daemon.node.ports import ServerStream
from daemon.node.serve.files import CHUNK_BYTES, POLL_S, start_offset

STREAMS = ("stdout", "stderr")


class LogReader:
    """One reader of one stream. `logs` is the directory alloc/logs below `root`."""

    def __init__(self, root: Path, task: str, kind: str) -> None:
        if kind not in STREAMS:
            raise InvalidInput(f"type must be stdout or stderr, it is {kind!r}")
        self._root = root
        self._prefix = f"{task}.{kind}"
        self._pattern = re.compile(re.escape(self._prefix) + r"\.(\d+)\Z")
        self._index = -1
        self._fd = -1
        self._at = 0

    def _indexes(self) -> list[int]:
        try:
            names = os.listdir(self._root / "alloc" / "logs")
        except OSError:
            return []
        return sorted(int(match.group(1)) for name in names if (match := self._pattern.match(name)))

    def _open(self, index: int) -> bool:
        try:
            fd = open_file(self._root, f"alloc/logs/{self._prefix}.{index}")
        except (NotFound, InvalidInput):
            return False
        self.close()
        self._fd, self._index, self._at = fd, index, 0
        return True

    def seek(self, offset: int, origin: str) -> None:
        """Go to a byte of the whole stream. Raises InvalidInput."""
        sizes = []
        for index in self._indexes():
            if self._open(index):
                sizes.append((index, os.fstat(self._fd).st_size))
        at = start_offset(offset, origin, sum(size for _, size in sizes))
        for index, size in sizes:
            if at <= size and self._open(index):
                self._at = at
                return
            at = max(0, at - size)

    def read(self) -> bytes:
        """The next bytes; b"": nothing more for now."""
        while True:
            if self._fd >= 0:
                data = os.pread(self._fd, CHUNK_BYTES, self._at)
                if data:
                    self._at += len(data)
                    return data
            newer = [index for index in self._indexes() if index > self._index]
            if self._fd >= 0 and newer:
                # the writer left this file before it made the next: what it wrote last is there now
                data = os.pread(self._fd, CHUNK_BYTES, self._at)
                if data:
                    self._at += len(data)
                    return data
            if not any(self._open(index) for index in newer):
                return b""

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


async def stream_logs(
    reader: LogReader,
    stream: ServerStream,
    *,
    offset: int,
    origin: str,
    follow: bool,
    ended: Callable[[], bool],
) -> None:
    """Send the log from `offset` on. Followed, it ends when `ended()` and nothing more is there."""
    try:
        await asyncio.to_thread(reader.seek, offset, origin)
        while True:
            is_over = ended()
            data = await asyncio.to_thread(reader.read)
            if data:
                await stream.send(data)
            elif not follow or is_over:
                return
            else:
                await asyncio.sleep(POLL_S)
    finally:
        reader.close()
