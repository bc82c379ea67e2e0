"""From a worker's plan to the log: re-check, reserve, propose, and what follows from the outcome.

Theory: check and reservation happen in one turn of the loop, so plans are checked in one order and each sees all
before it, committed or in flight. A plan that commits whole stores the evaluation's outcome in the same log
entry. What was left out, by the check or by apply, sends the evaluation to a worker again; a proposal that fails
releases its reservation and gives the evaluation back to the broker.

Source: spec/scheduler.md 3.2, 3.3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from daemon.evaluation.broker import Broker
from daemon.evaluation.contention import Contention
from daemon.evaluation.flight import Flight, exhausted, may_retry, pushed_out
from daemon.evaluation.plan_check import check_plan
from daemon.model.alloc import Allocation
from daemon.model.enums import DesiredStatus
from daemon.model.errors import Conflict, EncampError, NotFound
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.plan import Attempt, Plan
from daemon.state.changes import Changes, PlanApplied
from daemon.state.commands import AnyCommand, EvalsUpsert, plan_apply
from daemon.state.tracker import FleetTracker

log = logging.getLogger("encamp.evaluation")

Propose = Callable[[AnyCommand], "asyncio.Future[Changes]"]


class Commits:
    """Plans on their way to the log."""

    def __init__(
        self,
        tracker: FleetTracker,
        broker: Broker,
        propose: Propose,
        *,
        now_ns: Callable[[], int],
        new_id: Callable[[], str],
        retry: Callable[[Flight], None],
        wake: Callable[[], None],
        alloc_of: Callable[[str], Allocation | None],
        job_of: Callable[[str, str], Job | None],
        freed: Callable[[list[str]], None],
    ) -> None:
        self._tracker = tracker
        self._broker = broker
        self._propose = propose
        self._now_ns = now_ns
        self._new_id = new_id
        self._give_again = retry
        self._wake = wake
        self._alloc_of = alloc_of
        self._job_of = job_of
        self._freed = freed
        self._closed = False
        #: evaluation -> what its plan in flight has reserved.
        self._tickets: dict[str, str] = {}
        self.in_flight = 0
        self.plans = 0
        #: plans of which the check refused a part: another plan had taken the room meanwhile.
        self.conflicts = 0
        self.contention = Contention()

    def close(self) -> None:
        """Outcomes that come from now on are of no interest: leadership is lost."""
        self._closed = True

    def submit(self, flight: Flight, attempt: Attempt) -> None:
        """Re-check the plan, reserve what fits, and put it into the log."""
        checked = check_plan(self._tracker, attempt.plan, self._alloc_of)
        plan = checked.plan
        flight.full = checked.result.full
        self.plans += 1
        self.contention.count(not flight.full)
        if not flight.full:
            self.conflicts += 1
            # the worker has reserved what was refused: it must see the truth again
            self._tracker.touch(nodes_of(attempt.plan))
        outcome = (attempt.evaluation, *attempt.new_evals) if flight.full else ()
        if plan.empty and not outcome:
            self._retry(flight, progress=False)
            return
        self._tickets[flight.evaluation.id] = self._tracker.reserve(plan)
        self._broker.pause(flight.evaluation.id, flight.token)
        losers = pushed_out(plan, self._losing(plan), self._new_id, self._now_ns())
        future = self._try_propose(_command(plan, (*outcome, *losers), self._now_ns()))
        if future is None:
            self._failed(flight, plan)
            return
        self.in_flight += 1
        future.add_done_callback(lambda done: self._committed(done, flight, plan))

    def _losing(self, plan: Plan) -> dict[tuple[str, str], Job]:
        """Jobs of which the plan ends something to make room."""
        jobs: dict[tuple[str, str], Job] = {}
        for stop in plan.stops:
            alloc = self._alloc_of(stop.alloc_id) if stop.desired_status == DesiredStatus.EVICT else None
            job = self._job_of(alloc.namespace, alloc.job_id) if alloc is not None else None
            if job is not None:
                jobs[job.key] = job
        return jobs

    def observe(self, changes: Changes) -> None:
        """Consumer of changes, before the tracker: a plan that is applied is in flight no more.

        It must not be counted twice for an instant: a worker that saw that would find no room.
        """
        if isinstance(changes.result, PlanApplied):
            self._release(changes.result.eval_id)

    def _release(self, eval_id: str) -> None:
        ticket = self._tickets.pop(eval_id, None)
        if ticket is not None:
            self._tracker.release(ticket)

    def _committed(self, done: asyncio.Future[Changes], flight: Flight, plan: Plan) -> None:
        self.in_flight -= 1
        self._wake()
        if done.cancelled() or (error := done.exception()) is not None:
            if not done.cancelled():
                log.warning("the plan of evaluation %s was not committed: %s", flight.evaluation.id, error)
            self._failed(flight, plan)
            return
        self._release(flight.evaluation.id)
        if self._closed:
            return
        with suppress(NotFound, Conflict):
            self._broker.touch(flight.evaluation.id, flight.token, self._now_ns())
        result = done.result().result
        if isinstance(result, EncampError):
            log.error("the plan of evaluation %s was refused by apply: %s", flight.evaluation.id, result)
            self.nack(flight)
        elif flight.full and not (isinstance(result, PlanApplied) and not result.full):
            self.ack(flight)
        else:
            if done.result().dropped:
                self._freed(nodes_of(plan))
            self._retry(flight, progress=not plan.empty)

    def _failed(self, flight: Flight, plan: Plan) -> None:
        """The log did not take the plan: what it reserved is free again, the evaluation comes back later."""
        self._release(flight.evaluation.id)
        self._tracker.touch(nodes_of(plan))
        self._freed(nodes_of(plan))
        self.nack(flight)

    def _retry(self, flight: Flight, *, progress: bool) -> None:
        """Give the evaluation to a worker again, or fail it after too many tries without progress."""
        if may_retry(flight, progress):
            self._give_again(flight)
            return
        stored = exhausted(flight.evaluation, self._new_id(), self._now_ns())
        future = self._try_propose(EvalsUpsert(time_ns=self._now_ns(), evaluations=stored))
        if future is None:
            self.nack(flight)
        else:
            future.add_done_callback(lambda done: self._settled(done, flight))

    def _settled(self, done: asyncio.Future[Changes], flight: Flight) -> None:
        if done.cancelled() or done.exception() is not None:
            self.nack(flight)
        else:
            self.ack(flight)
        self._wake()

    def nack(self, flight: Flight) -> None:
        """Not done: the broker delivers it again. One whose time ran out was delivered again already."""
        if not self._closed:
            with suppress(NotFound, Conflict):
                self._broker.nack(flight.evaluation.id, flight.token, self._now_ns())

    def ack(self, flight: Flight) -> None:
        """Done."""
        if not self._closed:
            with suppress(NotFound, Conflict):
                self._broker.ack(flight.evaluation.id, flight.token, self._now_ns())

    def store(self, evaluations: tuple[Evaluation, ...]) -> None:
        """Store evaluations that end without a scheduler."""
        future = self._try_propose(EvalsUpsert(time_ns=self._now_ns(), evaluations=evaluations))
        if future is not None:
            future.add_done_callback(_log_failure)

    def _try_propose(self, command: AnyCommand) -> asyncio.Future[Changes] | None:
        """Queue a command; None when the log takes none now, which is said in the log."""
        try:
            return self._propose(command)
        except EncampError as error:
            log.warning("%s was not taken by the log: %s", type(command).__name__, error)
            return None


def _log_failure(done: asyncio.Future[Changes]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        level = logging.WARNING if isinstance(error, EncampError) else logging.ERROR
        log.log(level, "evaluations could not be stored and stay as they are: %s", error)


def nodes_of(plan: Plan) -> list[str]:
    """Nodes on which the plan places something."""
    nodes = {node: None for block in plan.blocks for node in block.nodes}
    nodes.update({alloc.node_id: None for alloc in plan.allocs})
    return list(nodes)


def _command(plan: Plan, outcome: tuple[Evaluation, ...], now_ns: int) -> AnyCommand:
    if plan.empty:
        return EvalsUpsert(time_ns=now_ns, evaluations=outcome)
    return plan_apply(plan, time_ns=now_ns, evaluations=outcome)
