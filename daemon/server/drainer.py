"""The drainer: carries drains through. A leader's service, the shell of `drains`.

Theory: it knows which nodes drain and which jobs are concerned, and looks again when one of them changes, when a forced
deadline is over, and at least every LOOK_S while anything drains. Marks of one look are one log entry, written before
the entry that ends drains, so that a leader that dies in between leaves a drain that the next one finishes.

Source: spec/scheduler.md 9.2.
"""

from __future__ import annotations

import asyncio
import logging

from daemon.aio.signal import Signal
from daemon.model.base import NS_PER_S
from daemon.model.enums import Trigger
from daemon.model.errors import EncampError
from daemon.server.context import ServerContext
from daemon.server.drains import JobKey, Step, step
from daemon.state.changes import Changes
from daemon.state.commands import AllocTransition, DrainsComplete

log = logging.getLogger("encamp.drainer")

#: shortest and longest time between two looks while something drains.
PACE_S = 0.1
LOOK_S = 1.0
#: marks in one log entry.
MARKS_MAX = 4096


class Drainer:
    """One per leader. `observe` is a consumer of changes; `run` is its task."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._nodes: set[str] = set()
        self._concerned: set[JobKey] = set()
        self._wakeup = Signal()
        self._read_all()

    def observe(self, changes: Changes) -> None:
        """Follow nodes that begin or cease to drain, and what happens to the jobs concerned."""
        if changes.reset:
            self._read_all()
            return
        for before, after in changes.nodes:
            if after is not None and after.drain_strategy is not None:
                self._nodes.add(after.id)
                self._wakeup.notify()
            elif before is not None:
                self._nodes.discard(before.id)
        if not self._nodes:
            return
        for old, new in changes.allocs:
            alloc = new or old
            if alloc is not None and (
                alloc.node_id in self._nodes or (alloc.namespace, alloc.job_id) in self._concerned
            ):
                self._wakeup.notify()
                return
        if any(job is not None and job.key in self._concerned for _, job in changes.jobs):
            self._wakeup.notify()

    def _read_all(self) -> None:
        self._nodes = {node.id for node in self._context.state.nodes() if node.drain_strategy is not None}
        self._concerned = set()
        self._wakeup.notify()

    async def run(self) -> None:
        """Mark and complete, for as long as this server leads."""
        while True:
            wait_s = LOOK_S
            seen = self._wakeup.value
            if self._nodes:
                began = self._context.clock.mono_s()
                try:
                    wait_s = await self._look()
                except EncampError as error:
                    log.warning("drains did not go on this time: %s", error)
                # a look over very large jobs takes its time: it never takes more than a fifth of the loop's
                took_s = self._context.clock.mono_s() - began
                await asyncio.sleep(min(LOOK_S, max(PACE_S, 4 * took_s)))
            await self._wakeup.wait_past(seen, wait_s)

    async def _look(self) -> float:
        """One look; returns the seconds until the next one is due anyway."""
        state, now = self._context.state, self._context.clock.now_ns()
        nodes = [node for node in map(state.node, sorted(self._nodes)) if node is not None]
        found = step(state, nodes, now)
        self._concerned = found.concerned
        if found.marks:
            await self._mark(found)
        if found.done:
            await self._context.propose(
                DrainsComplete(time_ns=self._context.clock.now_ns(), drains=found.done)
            )
            log.info("drain complete: %s", ", ".join(found.done))
        if found.next_ns:
            return min(LOOK_S, max(0.0, (found.next_ns - now) / NS_PER_S))
        return LOOK_S

    async def _mark(self, found: Step) -> None:
        """Write the marks; each job's evaluation comes with the last of them, so that one pass sees all."""
        state = self._context.state
        jobs = [job for job in (state.job(*key) for key in found.jobs) if job is not None]
        evaluations = tuple(self._context.evaluation(job, Trigger.NODE_DRAIN) for job in jobs)
        marks = list(found.marks.items())
        log.info("drain: %d allocations of %d jobs are moved now", len(marks), len(jobs))
        for start in range(0, len(marks), MARKS_MAX):
            last = start + MARKS_MAX >= len(marks)
            await self._context.propose(
                AllocTransition(
                    time_ns=self._context.clock.now_ns(),
                    transitions=dict(marks[start : start + MARKS_MAX]),
                    evaluations=evaluations if last else (),
                )
            )
