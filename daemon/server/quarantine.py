"""Quarantine: counts failures as they are told, and marks nodes. A leader's service, the shell of `quarantines`.

Theory: what counts is an allocation that its node reports as failed while the servers want it to run; a stop is none.
The scores live in memory only: at start, and after a snapshot was installed, they are read from the failures that the
state still holds. It looks when something failed, when nodes or settings change, and every LOOK_S.

Source: users/wants.md 18.
"""

from __future__ import annotations

import asyncio
import logging

from daemon.aio.signal import Signal
from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, DesiredStatus
from daemon.model.errors import EncampError
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.scheduler_config import OFF, QuarantineConfig
from daemon.server import node_evals
from daemon.server.context import ServerContext
from daemon.server.failures import FailureScores, JobKey
from daemon.server.quarantines import Marks, step
from daemon.state.changes import Changes
from daemon.state.commands import NodesQuarantine

log = logging.getLogger("encamp.quarantine")

#: shortest and longest time between two looks.
PACE_S = 0.2
LOOK_S = 10.0
#: failures older than so many half-lives are not read at start: less than FADED is left of them.
_REMEMBERED = 6


class Quarantine:
    """One per leader. `observe` is a consumer of changes; `run` is its task."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._wakeup = Signal()
        self._marked: set[str] = set()
        #: nodes that changed since the last look; None: all may have, or the settings have.
        self._changed: set[str] | None = None
        self.scores = FailureScores(self._config.half_life_ns)
        self._read_all()

    @property
    def _config(self) -> QuarantineConfig:
        return self._context.state.scheduler_config.quarantine

    def failed_on(self, job: Job, now_ns: int) -> dict[str, float]:
        """Node id -> how much the job's failures there count; for the scheduler."""
        if self._config.mode == OFF:
            return {}
        return self.scores.of_job((job.namespace, job.parent_id or job.id), now_ns)

    # ---- following the state ----

    def observe(self, changes: Changes) -> None:
        """Count failures; forget what happened on nodes that left or were pardoned."""
        if changes.reset:
            self._read_all()
            return
        for before, after in changes.nodes:
            if after is not None and self._changed is not None and after.serving:
                self._changed.add(after.id)
            if after is not None and after.quarantine is not None:
                self._marked.add(after.id)
            elif before is not None:
                self._marked.discard(before.id)
            if after is None and before is not None:
                self.scores.forget_node(before.id)
            elif after is not None and before is not None and after.pardoned_at_ns != before.pardoned_at_ns:
                self.scores.forget_node(after.id)
        for old, new in changes.allocs:
            if new is not None and _is_failure(old, new):
                self._count(new, changes.time_ns)
                self._wakeup.notify()
        if "settings" in changes.tables:
            self._changed = None
        if "settings" in changes.tables or (changes.nodes and (self._marked or len(self.scores))):
            self._wakeup.notify()

    def _read_all(self) -> None:
        state, now_ns = self._context.state, self._context.clock.now_ns()
        self.scores = FailureScores(self._config.half_life_ns)
        self._marked = {node.id for node in state.nodes() if node.quarantine is not None}
        for alloc in state.failed_since(now_ns - _REMEMBERED * self.scores.half_life_ns):
            self._count(alloc, alloc.modify_time_ns)
        self._changed = None
        self._wakeup.notify()

    def _count(self, alloc: Allocation, time_ns: int) -> None:
        node = self._context.state.node(alloc.node_id)
        if node is not None and time_ns > node.pardoned_at_ns:
            self.scores.add(node.id, self._key(alloc), time_ns)

    def _key(self, alloc: Allocation) -> JobKey:
        job = self._context.state.job(alloc.namespace, alloc.job_id)
        return (alloc.namespace, job.parent_id if job is not None and job.parent_id else alloc.job_id)

    # ---- marking ----

    async def run(self) -> None:
        """Look and mark, for as long as this server leads."""
        while True:
            seen = self._wakeup.value
            began = self._context.clock.mono_s()
            try:
                await self._look()
            except EncampError as error:
                log.warning("nodes were not marked this time: %s", error)
                # what was to be looked at has been taken; all of it is looked at again
                self._changed = None
            # many failures on many nodes take no more than a fifth of the loop's time
            took_s = self._context.clock.mono_s() - began
            await asyncio.sleep(min(LOOK_S, max(PACE_S, 4 * took_s)))
            await self._wakeup.wait_past(seen, LOOK_S)

    async def _look(self) -> None:
        state, now_ns, config = self._context.state, self._context.clock.now_ns(), self._config
        if config.half_life_ns != self.scores.half_life_ns:
            self.scores.retune(config.half_life_ns, now_ns)
        self.scores.prune(now_ns)
        changed, self._changed = self._changed, set()
        touched = self.scores.take_touched()
        if not (self._marked or touched or (len(self.scores) and changed != set())):
            return
        only = None if changed is None else changed | touched
        marks = step(state.nodes(), self.scores, config, now_ns, only)
        if not marks:
            return
        for node_id, mark in sorted(marks.items()):
            if mark is None:
                log.info("node %s: no quarantine any more", node_id)
            else:
                log.warning("node %s: %s (%s)", node_id, mark.reason, mark.held_back or "quarantined")
        await self._context.propose(
            NodesQuarantine(time_ns=now_ns, marks=marks, evaluations=self._for_released(marks))
        )

    def _for_released(self, marks: Marks) -> tuple[Evaluation, ...]:
        """System jobs want the nodes that take new work again."""
        made: dict[JobKey, Evaluation] = {}
        for node_id, mark in marks.items():
            node = self._context.state.node(node_id)
            if node is not None and node.quarantined and (mark is None or mark.held_back):
                for evaluation in node_evals.for_system_jobs(self._context, node):
                    made.setdefault((evaluation.namespace, evaluation.job_id), evaluation)
        return tuple(made.values())


def _is_failure(before: Allocation | None, after: Allocation) -> bool:
    """It failed just now, and nobody had asked it to stop."""
    return (
        after.client_status == ClientStatus.FAILED
        and (before is None or before.client_status != ClientStatus.FAILED)
        and after.desired_status == DesiredStatus.RUN
    )
