"""Writes snapshot lines in the background, in batches, and compacts the file when it has grown.

Theory: a disk that stalls holds up a thread and nothing else. Lines wait in a bounded list; when that is full they are
dropped and the whole file is written anew from the table as soon as the disk answers. A failing disk is reported once
and tried again; membership works without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gossip import limits
from gossip.shell import files

_FLUSH_EVERY_S = 0.5
_CLOSE_WITHIN_S = 5.0

log = logging.getLogger("gossip")


class SnapshotWriter:
    """Owns one snapshot file while its member runs."""

    def __init__(self, path: str, compact_lines: Callable[[], list[str]]) -> None:
        self.path = path
        self._compact_lines = compact_lines
        self._lines: list[str] = []
        self._sync = False
        self._rewrite = False
        self._failing = False
        self._wake = asyncio.Event()

    def append(self, line: str, *, sync: bool) -> None:
        """Take a line, never waiting."""
        if len(self._lines) >= limits.SNAPSHOT_LINES_PENDING_MAX:
            self._lines.clear()
            self._rewrite = True
        self._lines.append(line)
        if sync:
            self._sync = True
            self._wake.set()

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_FLUSH_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        if not self._lines and not self._rewrite:
            return
        lines, sync, rewrite = self._lines, self._sync, self._rewrite
        self._lines, self._sync, self._rewrite = [], False, False
        try:
            if rewrite:
                await asyncio.to_thread(files.write_lines, self.path, self._compact_lines())
            else:
                size = await asyncio.to_thread(files.append_lines, self.path, lines, sync=sync)
                compact = self._compact_lines()
                if size > max(limits.SNAPSHOT_BYTES_MIN, limits.SNAPSHOT_MEMBER_BYTES * len(compact)):
                    await asyncio.to_thread(files.write_lines, self.path, compact)
        except OSError as error:
            self._rewrite = True
            if not self._failing:
                log.error("snapshot %s cannot be written (%s); will go on trying", self.path, error)
            self._failing = True
        else:
            self._failing = False

    async def close(self) -> None:
        """Write the rest, within a limit."""
        try:
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                await self.flush()
        except TimeoutError:
            log.error(
                "snapshot %s: the disk did not answer within %.0f s; its end is lost",
                self.path,
                _CLOSE_WITHIN_S,
            )
