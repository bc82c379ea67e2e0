"""The leader's evaluation service: from a committed evaluation to a committed plan.

Theory: it follows the state's changes like every other consumer and owns the pure cores (Broker, BlockedEvals,
FleetTracker) and the worker pool. The way of one evaluation:

    pending in the state -> broker -> worker (scheduler) -> re-check against the tentative fleet -> log -> ack

Checking and reserving happen in the same turn of the loop in which the answer arrives, so plans are checked in
one order and each sees all before it. Several plans are in flight to the log at once (group commit); a proposal
that fails releases what it reserved and gives its evaluation back. Only a plan that commits whole stores the
evaluation's outcome with it, in the same log entry; otherwise the evaluation goes to a worker again with a newer
view, and after too many tries without progress it fails with a reason.

Source: spec/scheduler.md 2, 3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from daemon.aio.scope import Scope
from daemon.evaluation.blocked import BlockedEvals
from daemon.evaluation.broker import Broker
from daemon.evaluation.flight import Flight, exhausted, may_retry
from daemon.evaluation.messages import Result
from daemon.evaluation.plan_check import check_plan
from daemon.evaluation.pool import Pool, WorkerHandle
from daemon.model.enums import EvalStatus
from daemon.model.errors import EncampError, Unavailable
from daemon.model.evaluation import Evaluation
from daemon.model.plan import Attempt, EvalInput, Plan
from daemon.state.changes import Changes, PlanApplied
from daemon.state.commands import AnyCommand, EvalsUpsert, PlanApply
from daemon.state.state import State
from daemon.state.tracker import FleetTracker
from daemon.state.view import eval_input

log = logging.getLogger("encamp.evaluation")

#: plans on their way to the log at once; enough to fill a group commit, few enough to stay fresh.
PLANS_IN_FLIGHT_MAX = 16
#: seconds between two looks at timers when nothing is due earlier.
TICK_S = 0.25
EVAL_TYPES = ("service", "batch", "system")

Propose = Callable[[AnyCommand], "asyncio.Future[Changes]"]


class EvaluationService:
    """One per leader. `observe` is a consumer of changes; `start` and `close` bound its life."""

    def __init__(
        self,
        state: State,
        propose: Propose,
        *,
        workers: int,
        now_ns: Callable[[], int],
        seed: Callable[[], int],
        new_id: Callable[[], str],
        hang_s: float = 30.0,
    ) -> None:
        self._state = state
        self._propose = propose
        self._now_ns = now_ns
        self._seed = seed
        self._new_id = new_id
        self.broker = Broker()
        self.blocked = BlockedEvals()
        self.tracker = FleetTracker()
        self.pool = Pool(
            workers,
            delta_since=self.tracker.delta_since,
            on_result=self._on_result,
            on_lost=self._on_lost,
            on_free=self._wake,
            hang_s=hang_s,
        )
        self._flights: dict[str, Flight] = {}
        self._dry: dict[str, asyncio.Future[Attempt]] = {}
        self._dry_waiting: list[EvalInput] = []
        self._again: list[Flight] = []
        self._plans_in_flight = 0
        self._wakeup = asyncio.Event()
        self._scope = Scope("evaluation", on_failure=self._failed)
        self._running = False
        self.conflicts = 0
        self.plans = 0

    # ---- life ----

    async def start(self) -> None:
        """Read the whole state, start the workers, and begin."""
        self._reset()
        self._running = True
        await self.pool.start()
        self._scope.spawn(self._run(), "run")

    async def close(self) -> None:
        """Stop dispatching and kill the workers. What is in flight to the log ends there."""
        self._running = False
        await self._scope.close()
        await self.pool.close()
        for future in self._dry.values():
            if not future.done():
                future.set_exception(Unavailable("the server is shutting down", retry_after_s=1))
        self._dry.clear()

    def _failed(self, task: str, error: BaseException) -> None:
        log.critical("%s failed; evaluations are not processed any more: %s", task, error, exc_info=error)

    # ---- following the state ----

    def observe(self, changes: Changes) -> None:
        """Consumer of changes: fleet first, then evaluations, then what frees capacity."""
        if changes.reset:
            self._reset()
            return
        self.tracker.observe(changes)
        for before, after in changes.evals:
            self._observe_eval(before, after)
        for old_node, node in changes.nodes:
            if node is not None and node.ready and (old_node is None or old_node.epoch != node.epoch):
                self.blocked.unblock_class(node.computed_class, changes.index)
                self.blocked.unblock_node(node.id, changes.index)
        for old, alloc in changes.allocs:
            if alloc is not None and alloc.client_terminal and not (old is not None and old.client_terminal):
                node = self._state.node(alloc.node_id)
                if node is not None:
                    self.blocked.unblock_class(node.computed_class, changes.index)
                    self.blocked.unblock_node(node.id, changes.index)
        self._wake()

    def _observe_eval(self, before: Evaluation | None, after: Evaluation | None) -> None:
        if after is None:
            if before is not None:
                self.blocked.untrack(before.namespace, before.job_id)
            return
        if after.status == EvalStatus.PENDING:
            self.broker.enqueue(after, self._now_ns())
        elif after.status == EvalStatus.BLOCKED:
            self.blocked.block(after)
        elif after.placed:
            self.blocked.untrack(after.namespace, after.job_id)

    def _reset(self) -> None:
        """Forget everything and read the state anew: at start, or after a snapshot was installed."""
        self.broker.clear()
        self.blocked.clear()
        self._flights.clear()
        self._again.clear()
        self.tracker.rebuild(self._state.index, self._state.nodes(), self._state.allocs())
        for evaluation in self._state.evals():
            self._observe_eval(None, evaluation)
        self._wake()

    # ---- dispatch ----

    def _wake(self) -> None:
        self._wakeup.set()

    async def _run(self) -> None:
        """Hand out evaluations whenever there are some and a worker is free; look at the timers."""
        loop = asyncio.get_running_loop()
        next_tick = loop.time()
        while True:
            self._wakeup.clear()
            if loop.time() >= next_tick:
                self._tick()
                next_tick = loop.time() + TICK_S
            self._unblock()
            while self._plans_in_flight < PLANS_IN_FLIGHT_MAX and self._dispatch():
                pass
            try:
                await asyncio.wait_for(self._wakeup.wait(), max(0.0, next_tick - loop.time()))
            except TimeoutError:
                continue

    def _dispatch(self) -> bool:
        """Give one piece of work to a free worker. False when there is none of either."""
        worker = self.pool.free_worker()
        if worker is None:
            return False
        if self._dry_waiting:
            self.pool.send(worker, self._dry_waiting.pop(0), dry_run=True)
            return True
        if self._again:
            self._send(worker, self._again.pop(0))
            return True
        taken = self.broker.dequeue(EVAL_TYPES, self._now_ns())
        if taken is None:
            return False
        evaluation, token = taken
        self._send(worker, Flight(evaluation, token))
        return True

    def _send(self, worker: WorkerHandle, flight: Flight) -> None:
        id_ = flight.evaluation.id
        self._flights[id_] = flight
        self.pool.send(
            worker,
            eval_input(
                self._state,
                flight.evaluation,
                now_ns=self._now_ns(),
                seed=self._seed(),
                attempt=flight.attempt,
            ),
        )

    async def dry_run(self, item: EvalInput) -> Attempt:
        """What the scheduler would do; nothing is written."""
        future: asyncio.Future[Attempt] = asyncio.get_running_loop().create_future()
        self._dry[item.evaluation.id] = future
        self._dry_waiting.append(item)
        self._wake()
        try:
            return await future
        finally:
            self._dry.pop(item.evaluation.id, None)

    # ---- answers of workers ----

    def _on_result(self, result: Result) -> None:
        self._wake()
        dry = self._dry.get(result.eval_id)
        if dry is not None:
            self._finish_dry(dry, result)
            return
        flight = self._flights.pop(result.eval_id, None)
        if flight is None:
            return
        if result.resync:
            self._again.append(flight)
        elif result.attempt is None:
            log.error("evaluation %s of job %s failed in its worker: %s",
                      result.eval_id, flight.evaluation.job_id, result.error)  # fmt: skip
            self._nack(flight)
        elif self.broker.outstanding(flight.evaluation.id) != flight.token:
            # delivered to somebody else meanwhile: this answer is too late
            self.tracker.touch(_nodes_of(result.attempt.plan))
        else:
            self._submit(flight, result.attempt)

    def _finish_dry(self, future: asyncio.Future[Attempt], result: Result) -> None:
        if future.done():
            return
        if result.attempt is not None:
            future.set_result(result.attempt)
        else:
            words = "the worker's view was stale" if result.resync else result.error
            future.set_exception(Unavailable(f"the dry run failed, try again: {words}", retry_after_s=1))

    def _on_lost(self, eval_ids: list[str], why: str) -> None:
        """A worker is gone with these evaluations."""
        for id_ in eval_ids:
            dry = self._dry.get(id_)
            if dry is not None and not dry.done():
                dry.set_exception(Unavailable(f"the dry run was lost: {why}", retry_after_s=1))
            flight = self._flights.pop(id_, None)
            if flight is not None:
                log.warning("evaluation %s goes back to the queue: %s", id_, why)
                self._nack(flight)
        self._wake()

    def _nack(self, flight: Flight) -> None:
        self.broker.nack(flight.evaluation.id, flight.token, self._now_ns())

    # ---- plans ----

    def _submit(self, flight: Flight, attempt: Attempt) -> None:
        """Re-check the plan, reserve what fits, and put it into the log."""
        checked = check_plan(self.tracker, attempt.plan)
        flight.full = checked.result.full
        self.plans += 1
        if not flight.full:
            self.conflicts += 1
            # the worker has reserved what was refused: it must see the truth again
            self.tracker.touch(_nodes_of(attempt.plan))
        outcome = (attempt.evaluation, *attempt.new_evals) if flight.full else ()
        plan = checked.plan
        if plan.empty and not outcome:
            self._retry(flight, progress=False)
            return
        command = (
            EvalsUpsert(time_ns=self._now_ns(), evaluations=outcome)
            if plan.empty
            else _apply(plan, outcome, self._now_ns())
        )
        ticket = self.tracker.reserve(plan)
        self._plans_in_flight += 1
        self.broker.pause_nack(flight.evaluation.id, flight.token)
        future = self._propose(command)
        future.add_done_callback(lambda done: self._committed(done, flight, plan, ticket))

    def _committed(self, done: asyncio.Future[Changes], flight: Flight, plan: Plan, ticket: str) -> None:
        self._plans_in_flight -= 1
        self.tracker.release(ticket)
        self._wake()
        if not self._running or done.cancelled():
            return
        self.broker.resume_nack(flight.evaluation.id, flight.token, self._now_ns())
        error = done.exception()
        if error is not None:
            log.warning("the plan of evaluation %s was not committed: %s", flight.evaluation.id, error)
            self.tracker.touch(_nodes_of(plan))
            self._nack(flight)
            return
        result = done.result().result
        if flight.full and not (isinstance(result, PlanApplied) and not result.full):
            self.broker.ack(flight.evaluation.id, flight.token, self._now_ns())
        else:
            self._retry(flight, progress=not plan.empty)

    def _retry(self, flight: Flight, *, progress: bool) -> None:
        """Give the evaluation to a worker again, with a newer view, or fail it after too many tries."""
        if may_retry(flight, progress):
            self._again.append(flight)
            self._wake()
            return
        stored = exhausted(flight.evaluation, self._new_id(), self._now_ns())
        future = self._propose(EvalsUpsert(time_ns=self._now_ns(), evaluations=stored))
        future.add_done_callback(lambda done: self._settled(done, flight))

    def _settled(self, done: asyncio.Future[Changes], flight: Flight) -> None:
        if done.cancelled() or done.exception() is not None:
            self._nack(flight)
        else:
            self.broker.ack(flight.evaluation.id, flight.token, self._now_ns())
        self._wake()

    # ---- timers, and evaluations that end without a scheduler ----

    def _tick(self) -> None:
        now = self._now_ns()
        self.broker.tick(now)
        self.blocked.tick(now)
        canceled = [
            msgspec.structs.replace(e, status=EvalStatus.CANCELED, status_description=why, modify_time_ns=now)
            for e, why in [
                (e, "a newer evaluation of the job took its place") for e in self.broker.take_cancelable()
            ]
            + [(e, "a newer blocked evaluation took its place") for e in self.blocked.take_duplicates()]
        ]
        failed: list[Evaluation] = []
        for evaluation in self.broker.take_failed():
            job = self._state.job(evaluation.namespace, evaluation.job_id)
            failed.extend(self.broker.reap(evaluation, self._new_id(), self._seed(), now, job is not None))
        if canceled or failed:
            self._store((*canceled, *failed))

    def _unblock(self) -> None:
        """Blocked evaluations for which capacity has come go back to the broker, their status unchanged."""
        for evaluation in self.blocked.take_unblocked():
            self.broker.enqueue(evaluation, self._now_ns())

    def _store(self, evaluations: tuple[Evaluation, ...]) -> None:
        future = self._propose(EvalsUpsert(time_ns=self._now_ns(), evaluations=evaluations))
        future.add_done_callback(_log_failure)


def _log_failure(done: asyncio.Future[Changes]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        level = logging.WARNING if isinstance(error, EncampError) else logging.ERROR
        log.log(level, "evaluations could not be stored and stay as they are: %s", error)


def _nodes_of(plan: Plan) -> list[str]:
    nodes = {node: None for block in plan.blocks for node in block.nodes}
    nodes.update({alloc.node_id: None for alloc in plan.allocs})
    return list(nodes)


def _apply(plan: Plan, outcome: tuple[Evaluation, ...], now_ns: int) -> PlanApply:
    return PlanApply(
        time_ns=now_ns,
        eval_id=plan.eval_id,
        namespace=plan.namespace,
        job_id=plan.job_id,
        job_version=plan.job_version,
        blocks=plan.blocks,
        allocs=plan.allocs,
        node_epochs=plan.node_epochs,
        stops=plan.stops,
        in_place=plan.in_place,
        marks=plan.marks,
        evaluations=outcome,
    )
