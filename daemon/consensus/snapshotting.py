"""Snapshotting: when a snapshot is due, writing it beside the running log, and forgetting what it contains.

Theory: the handle is taken on the loop between two entries, which costs microseconds. Encoding and writing happen in a
thread of its own, which rests after every piece. The log is compacted only up to the snapshot before the newest, in
small steps between appends: a damaged newest snapshot can then be passed over without loss.
A snapshot that fails is reported and tried again later; the log goes on meanwhile.

Source: architecture.md "State" (snapshots); spec/gossip-and-raft.md 3.3.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from daemon.consensus.logstore import LogStore, StoreBroken
from daemon.consensus.options import LogOptions
from daemon.consensus.port import SnapshotMark
from daemon.model.errors import EncampError, Unavailable
from daemon.state.snapshot import StateSnapshot
from daemon.state.state import State

_log = logging.getLogger("encamp.log")


class Snapshotter:
    """Takes snapshots of one log. `compact` runs one step of compaction in the writer's thread."""

    def __init__(
        self,
        store: LogStore,
        options: LogOptions,
        compact: Callable[[int], Awaitable[None]],
        on_broken: Callable[[EncampError], None],
    ) -> None:
        self._store = store
        self._options = options
        self._compact = compact
        self._on_broken = on_broken
        self._entries = 0
        self._bytes = 0
        self._not_before_s = 0.0
        self._stop = threading.Event()
        self._aio_task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log-snapshot")
        #: the snapshot before the newest: the log is kept from there on.
        marks = store.snapshots()
        self._newest = marks[0].index if marks else 0

    def count(self, entries: int, size_bytes: int) -> None:
        """So much more has been applied since the last snapshot."""
        self._entries += entries
        self._bytes += size_bytes

    def maybe_start(self, state: State, term: int) -> None:
        """Begin a snapshot when one is due and none is under way."""
        options = self._options
        if self._entries < options.snapshot_entries and self._bytes < options.snapshot_bytes:
            return
        busy = self._aio_task is not None and not self._aio_task.done()
        if busy or self._stop.is_set() or time.monotonic() < self._not_before_s:
            return
        self.start(state, term)

    def start(self, state: State, term: int) -> asyncio.Task[None]:
        """Begin a snapshot of the state as it is now."""
        mark = SnapshotMark(index=state.index, term=term)
        self._entries = self._bytes = 0
        self._aio_task = asyncio.create_task(self._take(state.snapshot(), mark), name="log-snapshot")
        return self._aio_task

    async def close(self) -> None:
        """Give up a snapshot that is under way, and wait for its thread."""
        self._stop.set()
        if self._aio_task is not None:
            await asyncio.gather(self._aio_task, return_exceptions=True)
        self._thread.shutdown(wait=True)

    async def _take(self, handle: StateSnapshot, mark: SnapshotMark) -> None:
        loop = asyncio.get_running_loop()
        started_s = time.monotonic()
        try:
            await loop.run_in_executor(
                self._thread, self._store.write_snapshot, mark, self._paced(handle.pieces())
            )
            previous, self._newest = self._newest, mark.index
            await self._forget(previous)
        except _Stopped:
            _log.info("the snapshot at entry %d was given up: the log is closing", mark.index)
        except StoreBroken as error:
            self._failed(mark, error)
        except EncampError as error:
            self._failed(mark, error)
        except Exception as error:
            self._failed(mark, Unavailable(f"{type(error).__name__}: {error}"))
            _log.exception("the snapshot at entry %d of %s failed", mark.index, self._store.where)
        else:
            _log.info("snapshot at entry %d, %.2f s", mark.index, time.monotonic() - started_s)

    async def _forget(self, through_index: int) -> None:
        while not self._stop.is_set() and self._store.first_index <= through_index:
            step = min(through_index, self._store.first_index + self._options.compact_entries - 1)
            try:
                await self._compact(step)
            except StoreBroken as error:
                self._on_broken(error)
                raise

    def _failed(self, mark: SnapshotMark, error: EncampError) -> None:
        retry_s = self._options.snapshot_retry_s
        self._not_before_s = time.monotonic() + retry_s
        self._entries = self._options.snapshot_entries
        _log.error("the snapshot at entry %d failed: %s; next try in %.0f s", mark.index, error, retry_s)

    def _paced(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if self._stop.wait(self._options.snapshot_rest_s):
                raise _Stopped
            yield piece


class _Stopped(Exception):
    """The log is closing."""
