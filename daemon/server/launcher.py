"""The launcher: makes the launches of periodic jobs when they are due. A leader's service, the shell of `periodic`.

Theory: it keeps a heap of (due, job) filled from the state at its start and from the changes afterwards. It looks at
the clock at least every LOOK_S, so that a wall clock that steps is noticed.
"""

from __future__ import annotations

import heapq
import logging

from daemon.aio.signal import Signal
from daemon.model.base import NS_PER_S
from daemon.model.enums import Trigger
from daemon.model.errors import Conflict, EncampError, NotFound
from daemon.model.job import Job
from daemon.server.context import ServerContext
from daemon.server.periodic import Due, due, is_launched, next_ns, periodic_child
from daemon.state.changes import Changes, Launched
from daemon.state.commands import PeriodicLaunch

log = logging.getLogger("encamp.launcher")

#: longest time between two looks at the clock.
LOOK_S = 1.0
#: after a launch that the log did not take.
RETRY_NS = 5 * NS_PER_S

JobKey = tuple[str, str]


class Launcher:
    """One per leader. `observe` is a consumer of changes; `run` is its task."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._heap: list[tuple[int, JobKey]] = []
        #: the one entry of the heap per job that counts; others are stale.
        self._planned: dict[JobKey, int] = {}
        self._wakeup = Signal()
        self._read_all()

    def observe(self, changes: Changes) -> None:
        """Follow jobs that came, changed, or were launched."""
        if changes.reset:
            self._read_all()
            return
        for _, job in changes.jobs:
            if job is not None and job.periodic is not None:
                self._plan(job)

    def _read_all(self) -> None:
        self._heap.clear()
        self._planned.clear()
        for job in self._context.state.jobs():
            if job.periodic is not None:
                self._plan(job)

    def _plan(self, job: Job) -> None:
        moment = next_ns(job, self._context.state.launches(*job.key))
        if not moment:
            self._planned.pop(job.key, None)
        elif self._planned.get(job.key) != moment:
            self._push(moment, job.key)

    def _push(self, moment: int, key: JobKey) -> None:
        self._planned[key] = moment
        heapq.heappush(self._heap, (moment, key))
        self._wakeup.notify()

    async def run(self) -> None:
        """Launch what is due, for as long as this server leads."""
        while True:
            seen = self._wakeup.value
            now = self._context.clock.now_ns()
            while self._heap and self._heap[0][0] <= now:
                moment, key = heapq.heappop(self._heap)
                if self._planned.get(key) == moment:
                    del self._planned[key]
                    await self._launch(key)
            wait_s = LOOK_S
            if self._heap:
                wait_s = min(LOOK_S, max(0.0, (self._heap[0][0] - self._context.clock.now_ns()) / NS_PER_S))
            await self._wakeup.wait_past(seen, wait_s)

    async def _launch(self, key: JobKey) -> None:
        """Make the launches of one job that are due; an entry of the heap that is stale finds none."""
        state = self._context.state
        job = state.job(*key)
        if job is None or not is_launched(job):
            return
        try:
            for each in due(job, state.launches(*key), self._context.clock.now_ns()):
                await self.propose(job, each)
        except (Conflict, NotFound) as error:
            log.info("job %s/%s is not launched: %s", *key, error)
        except EncampError as error:
            log.warning("job %s/%s could not be launched and is tried again: %s", *key, error)
            self._push(self._context.clock.now_ns() + RETRY_NS, key)
            return
        latest = state.job(*key)
        if latest is not None:
            self._plan(latest)

    async def propose(self, job: Job, each: Due, *, forced: bool = False) -> Launched:
        """Put one launch into the log.

        Raises: EncampError as apply or the log gives it.
        """
        now = self._context.clock.now_ns()
        child = periodic_child(job, each.launch_ns, now)
        changes = await self._context.propose(
            PeriodicLaunch(
                time_ns=now,
                namespace=job.namespace,
                job_id=job.id,
                launch_ns=each.launch_ns,
                next_ns=each.next_ns,
                forced=forced,
                skip=each.skip,
                child=None if each.skip else child,
                evaluation=None if each.skip else self._context.evaluation(child, Trigger.PERIODIC_JOB),
            )
        )
        result = changes.result
        assert isinstance(result, Launched)
        if result.skipped:
            log.info("job %s/%s: a launch is skipped: %s", *job.key, result.skipped)
        return result
