"""Removes ended allocations from the node: directory first, then the local state.

Theory: an allocation goes only when the servers know how it has ended. A crash between removal and forgetting leaves
a row without a directory, which the next collection forgets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from pathlib import Path

from daemon.aio.scope import Scope
from daemon.model.errors import EncampError
from daemon.node.config import GcLimits
from daemon.node.disk.prepare import remove
from daemon.node.gc import DiskUse, Ended, collectable, reason
from daemon.node.report import Reporter
from daemon.node.runner.alloc_runner import AllocRunner
from daemon.node.runner.records import AllocPhase
from daemon.node.store import NodeStore, job_key

log = logging.getLogger("encamp.node")


class Collector:
    """Owned by the node agent, whose runners it removes."""

    def __init__(
        self,
        runners: dict[str, AllocRunner],
        *,
        store: NodeStore,
        reporter: Reporter,
        limits: GcLimits,
        alloc_dir: Path,
    ) -> None:
        self._runners = runners
        self._store = store
        self._reporter = reporter
        self._limits = limits
        self._alloc_dir = alloc_dir
        self._woken = asyncio.Event()
        self._lock = asyncio.Lock()
        #: what the servers have forgotten: it goes as soon as it has ended.
        self._vanished: dict[str, None] = {}

    def wake(self) -> None:
        """Something has changed that may call for a collection."""
        self._woken.set()

    def vanished(self, alloc_id: str) -> None:
        """The servers know the allocation no more."""
        self._vanished[alloc_id] = None
        self.wake()

    async def run(self) -> None:
        """Collect for ever: in the interval, and when woken."""
        while True:
            try:
                await asyncio.wait_for(self._woken.wait(), self._limits.interval_s)
            except TimeoutError:
                pass  # the interval is over
            self._woken.clear()
            await self._collect_vanished()
            await self.collect_needed()

    def _ended(self) -> list[Ended]:
        # a replacement that has not begun yet may still take over its predecessor's data
        awaited = {
            runner.placed.alloc.previous_allocation
            for runner in self._runners.values()
            if runner.core.record.phase in (AllocPhase.WAITING, AllocPhase.PREPARING)
        }
        return [
            Ended(
                alloc_id=runner.alloc_id,
                group=(runner.placed.alloc.namespace, runner.placed.alloc.job_id, runner.placed.group.name),
                failed=runner.core.failed,
                done_at_ns=runner.core.record.done_at_ns,
            )
            for runner in self._runners.values()
            if runner.done.is_set()
            and runner.alloc_id not in awaited
            and self._reporter.is_told(runner.alloc_id)
        ]

    def _use(self) -> DiskUse:
        found = os.statvfs(self._alloc_dir)
        blocks, inodes = found.f_blocks - found.f_bfree + found.f_bavail, found.f_files
        return DiskUse(
            disk_percent=100 * (1 - found.f_bavail / blocks) if blocks else 0.0,
            inode_percent=100 * (1 - found.f_favail / inodes) if inodes else 0.0,
        )

    async def collect_needed(self) -> None:
        """Remove the oldest ended allocations until the limits are kept, or nothing more may go."""
        async with self._lock:
            for one in collectable(self._ended(), keep_failed=self._limits.keep_failed):
                use = await asyncio.to_thread(self._use)
                why = reason(use, len(self._runners), self._limits)
                if not why:
                    return
                log.info("removing ended allocation %s: %s", one.alloc_id, why)
                await self._remove([one.alloc_id])

    async def collect_all(self) -> int:
        """Remove all ended allocations, the failed ones too; returns how many."""
        async with self._lock:
            ids = [one.alloc_id for one in self._ended()]
            return await self._remove(ids)

    async def _collect_vanished(self) -> None:
        ids = [
            alloc_id
            for alloc_id in self._vanished
            if alloc_id not in self._runners or self._runners[alloc_id].done.is_set()
        ]
        async with self._lock:
            await self._remove([alloc_id for alloc_id in ids if alloc_id in self._runners])
        for alloc_id in ids:
            self._vanished.pop(alloc_id, None)

    async def _remove(self, ids: list[str]) -> int:
        removed: list[str] = []
        gate = asyncio.Semaphore(max(1, self._limits.parallel))

        async def one(runner: AllocRunner) -> None:
            async with gate:
                try:
                    await asyncio.to_thread(remove, runner.layout)
                    removed.append(runner.alloc_id)
                except OSError as error:
                    log.error("the directory of allocation %s cannot be removed: %s", runner.alloc_id, error)

        async with Scope("collect") as scope:
            for alloc_id in ids:
                if alloc_id in self._runners:
                    scope.spawn(one(self._runners[alloc_id]), alloc_id)
            await scope.drain()
        if not removed:
            return 0
        for alloc_id in removed:
            self._runners.pop(alloc_id, None)
        kept = {
            job_key(a.namespace, a.job_id, a.job_version, a.job_spec_index)
            for a in (runner.placed.alloc for runner in self._runners.values())
        }
        try:
            await self._store.forget(removed, kept)
        except (sqlite3.Error, EncampError) as error:
            log.error("allocations %s are removed but not forgotten: %s", ", ".join(removed), error)
        return len(removed)
