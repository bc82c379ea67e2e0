"""The watcher of deployments: looks at all that are under way and does what the rules say. A leader's service.

Theory: what the changes name is looked at soon, those whose clock has run out within TICK_S, and all that are under way
every ROUND_S, so that a change that was missed costs time and nothing else. Nothing is remembered that a new leader
would miss, but for one thing: whether allocations became healthy since the job was last evaluated. A watcher that does
not know asks for one evaluation too many.

Evaluations and replacements of one look travel together in one log entry each. An evaluation for newly healthy
allocations comes after a moment, in which more of them may be heard of, and not twice within NEWS_GAP_S.

Source: spec/scheduler.md 6.8.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from daemon.aio.signal import Signal
from daemon.model.alloc import DesiredTransition
from daemon.model.deployment import Deployment, DeploymentChange
from daemon.model.enums import ClientStatus, DeploymentStatus, EvalStatus, Trigger
from daemon.model.errors import EncampError
from daemon.model.evaluation import Evaluation
from daemon.server.context import ServerContext
from daemon.server.deployments.rules import Fail, Promote, Replace, is_due, judge, needs_allocs
from daemon.state.changes import Changes
from daemon.state.commands import (
    AllocTransition,
    AnyCommand,
    DeploymentPromote,
    DeploymentStatusUpdate,
    EvalsUpsert,
)

log = logging.getLogger("encamp.deployments")

#: time between two looks at the deadlines, and longest time between two looks at all deployments.
TICK_S = 1.0
ROUND_S = 15.0
#: deployments that are looked at before others have their turn.
BREATH = 200
#: how long healthy allocations are gathered before their evaluation.
NEWS_S = 0.2
#: shortest time between two such evaluations of a deployment.
NEWS_GAP_S = 1.0


class DeploymentWatcher:
    """One per leader. `observe` is a consumer of changes; `run` is its task."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._wakeup = Signal()
        #: deployments to be looked at before the next tick.
        self._soon: set[str] = set()
        #: deployments of which an allocation has failed: their allocations are looked at.
        self._failed: set[str] = set()
        #: deployment -> its modify_index when its allocations gave no reason to act.
        self._seen: dict[str, int] = {}
        #: deployment -> (log index of the news, monotonic time at which it is evaluated).
        self._news: dict[str, tuple[int, float]] = {}
        self._evaluated_at: dict[str, float] = {}
        self._read_all()

    def observe(self, changes: Changes) -> None:
        """Note which deployments deserve a look."""
        if changes.reset:
            self._read_all()
            return
        for before, after in changes.deployments:
            if after is None or not after.active:
                self._forget((before or after).id)  # type: ignore[union-attr]
                continue
            if before is not None and _healthy(after) > _healthy(before):
                self._hear(after.id, changes.index)
            self._look_soon(after.id)
        for _, alloc in changes.allocs:
            if alloc is not None and alloc.deployment_id and alloc.client_status == ClientStatus.FAILED:
                row = self._context.state.deployment(alloc.deployment_id)
                if row is not None and row.active:
                    self._failed.add(row.id)
                    self._look_soon(row.id)

    def _read_all(self) -> None:
        """Know nothing: every deployment may have news, and failed allocations."""
        for row in self._context.state.active_deployments():
            self._hear(row.id, row.modify_index)
            self._failed.add(row.id)
            self._look_soon(row.id)

    def _hear(self, deployment_id: str, index: int) -> None:
        now = self._context.clock.mono_s()
        known = self._news.get(deployment_id)
        last = self._evaluated_at.get(deployment_id, now - NEWS_GAP_S)
        at = known[1] if known is not None else max(now + NEWS_S, last + NEWS_GAP_S)
        self._news[deployment_id] = (index, at)

    def _look_soon(self, deployment_id: str) -> None:
        self._soon.add(deployment_id)
        self._wakeup.notify()

    def _forget(self, deployment_id: str) -> None:
        self._soon.discard(deployment_id)
        self._failed.discard(deployment_id)
        self._news.pop(deployment_id, None)
        self._evaluated_at.pop(deployment_id, None)
        self._seen.pop(deployment_id, None)

    async def run(self) -> None:
        """Watch, for as long as this server leads."""
        state, mono_s = self._context.state, self._context.clock.mono_s
        next_tick = next_round = mono_s()
        while True:
            seen = self._wakeup.value
            found = [state.deployment(deployment_id) for deployment_id in sorted(self._soon)]
            rows = [row for row in found if row is not None and row.active]
            if mono_s() >= next_round:
                rows = state.active_deployments()
                next_tick, next_round = mono_s() + TICK_S, mono_s() + ROUND_S
            elif mono_s() >= next_tick:
                now_ns = self._context.clock.now_ns()
                rows += [
                    row
                    for row in state.active_deployments()
                    if is_due(row, now_ns) and row.id not in self._soon
                ]
                next_tick = mono_s() + TICK_S
            self._soon.clear()
            await self._look(rows)
            await self._tell_news()
            due = min([next_tick, *(at for _, at in self._news.values())])
            await self._wakeup.wait_past(seen, max(0.01, due - mono_s()))

    async def _look(self, rows: list[Deployment]) -> None:
        """Judge each of them; replacements are gathered into one entry."""
        again: dict[str, DesiredTransition] = {}
        asking: list[str] = []
        evaluations: list[Evaluation] = []
        for looked, row in enumerate(rows, 1):
            if looked % BREATH == 0:
                await asyncio.sleep(0)
            current = self._context.state.deployment(row.id)
            if current is None or not current.active:
                continue
            match self._judge(current):
                case Fail(description, revert):
                    await self._fail(current, description, revert)
                case Promote():
                    await self._propose(
                        current.id,
                        DeploymentPromote(
                            time_ns=self._context.clock.now_ns(),
                            deployment_id=current.id,
                            evaluation=self._evaluation(current),
                        ),
                        [current.id],
                    )
                case Replace(alloc_ids):
                    asking.append(current.id)
                    again.update(dict.fromkeys(alloc_ids, DesiredTransition(reschedule=True)))
                    evaluations.extend(filter(None, (self._evaluation(current),)))
                case None:
                    pass
        if again:
            command = AllocTransition(
                time_ns=self._context.clock.now_ns(), transitions=again, evaluations=tuple(evaluations)
            )
            await self._propose(f"{len(again)} allocations", command, asking)

    def _judge(self, row: Deployment) -> Fail | Promote | Replace | None:
        state = self._context.state
        allocs = []
        seen = self._seen.get(row.id) == row.modify_index and row.id not in self._failed
        if row.id in self._failed or (needs_allocs(row) and not seen):
            mine = state.allocs_by_job(row.namespace, row.job_id)
            allocs = [alloc for alloc in mine if alloc.deployment_id == row.id]
        job = state.job_version(row.namespace, row.job_id, row.job_version)
        effect = judge(row, job, allocs, self._context.clock.now_ns())
        if effect is None:
            self._failed.discard(row.id)
            self._seen[row.id] = row.modify_index
        return effect

    async def _fail(self, row: Deployment, description: str, revert: bool) -> None:
        change = DeploymentChange(
            deployment_id=row.id, status=DeploymentStatus.FAILED, status_description=description
        )
        log.warning("deployment %s of job %s/%s fails: %s", row.id, row.namespace, row.job_id, description)
        command = DeploymentStatusUpdate(
            time_ns=self._context.clock.now_ns(),
            change=change,
            revert=revert,
            evaluation=self._evaluation(row),
        )
        await self._propose(row.id, command, [row.id])

    async def _tell_news(self) -> None:
        """Evaluate the jobs of which allocations became healthy a moment ago."""
        now = self._context.clock.mono_s()
        due = [(id_, index) for id_, (index, at) in sorted(self._news.items()) if at <= now]
        told: list[Evaluation] = []
        for deployment_id, index in due:
            row = self._context.state.deployment(deployment_id)
            evaluation = self._evaluation(row) if row is not None and row.active else None
            if row is None or evaluation is None or self._is_asked_for(row, index, evaluation.create_time_ns):
                self._news.pop(deployment_id, None)
                continue
            told.append(evaluation)
        if not told:
            return
        if not await self._propose(
            f"{len(told)} evaluations",
            EvalsUpsert(time_ns=self._context.clock.now_ns(), evaluations=tuple(told)),
        ):
            self._news.update({id_: (index, now + NEWS_GAP_S) for id_, index in due})
            return
        for deployment_id, index in due:
            if self._news.get(deployment_id, (index, 0.0))[0] == index:
                self._news.pop(deployment_id, None)
            self._evaluated_at[deployment_id] = now

    def _is_asked_for(self, row: Deployment, index: int, now_ns: int) -> bool:
        """An evaluation that will see the news waits already."""
        return any(
            evaluation.status == EvalStatus.PENDING
            and evaluation.create_index > index
            and evaluation.wait_until_ns <= now_ns
            for evaluation in self._context.state.evals_by_job(row.namespace, row.job_id)
        )

    def _evaluation(self, row: Deployment) -> Evaluation | None:
        job = self._context.state.job(row.namespace, row.job_id)
        if job is None:
            return None
        return self._context.evaluation(
            job, Trigger.DEPLOYMENT_WATCHER, priority=row.eval_priority, deployment_id=row.id
        )

    async def _propose(self, what: str, command: AnyCommand, deployments: Iterable[str] = ()) -> bool:
        """Put a command into the log. If it is not taken, these deployments are looked at again with the next tick."""
        try:
            await self._context.propose(command)
        except EncampError as error:
            log.warning("%s for %s was refused and is judged anew: %s", type(command).__name__, what, error)
            self._soon.update(deployments)
            return False
        return True


def _healthy(row: Deployment) -> int:
    return sum(group.healthy_allocs for group in row.task_groups.values())
