"""Reads files of an allocation for people outside: whole, a part, or following."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from daemon.model.errors import InvalidInput
from daemon.node.disk.contain import open_file
from daemon.node.ports import ServerStream

CHUNK_BYTES = 64 * 1024
#: how often a followed file is looked at.
POLL_S = 0.2


def start_offset(offset: int, origin: str, size: int) -> int:
    """Where to begin. Raises InvalidInput."""
    if offset < 0:
        raise InvalidInput(f"offset must not be negative, it is {offset}")
    if origin == "start":
        return min(offset, size)
    if origin == "end":
        return max(0, size - offset)
    raise InvalidInput(f"origin must be start or end, it is {origin!r}")


async def stream_file(
    root: Path,
    path: str,
    stream: ServerStream,
    *,
    offset: int,
    origin: str,
    limit: int,
    follow: bool,
    ended: Callable[[], bool],
) -> None:
    """Send a file's bytes from `offset` on. Followed, it ends when `ended()` and nothing more is there."""
    fd = await asyncio.to_thread(open_file, root, path)
    try:
        at = start_offset(offset, origin, os.fstat(fd).st_size)
        left = limit if limit > 0 else None
        while left is None or left > 0:
            is_over = ended()
            size = CHUNK_BYTES if left is None else min(left, CHUNK_BYTES)
            data = await asyncio.to_thread(os.pread, fd, size, at)
            if data:
                await stream.send(data)
                at += len(data)
                left = None if left is None else left - len(data)
                continue
            if not follow or is_over:
                return
            if os.fstat(fd).st_size < at:
                at = 0  # it was truncated; what is new begins at its start
            await asyncio.sleep(POLL_S)
    finally:
        os.close(fd)
