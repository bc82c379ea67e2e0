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

from daemon.aio.scope import Scope
from daemon.aio.signal import Signal
from daemon.evaluation.blocked import BlockedEvals
from daemon.evaluation.broker import Broker
from daemon.evaluation.commits import Commits, Propose, nodes_of
from daemon.evaluation.flight import Flight, canceled, given_up
from daemon.evaluation.messages import Result
from daemon.evaluation.pool import Pool
from daemon.evaluation.run_limits import limited
from daemon.evaluation.run_queue import RunQueue
from daemon.model.enums import EvalStatus, JobStatus
from daemon.model.errors import Unavailable
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.node import Node
from daemon.model.plan import Attempt, EvalInput
from daemon.state.changes import Changes
from daemon.state.neighbours import seeing
from daemon.state.state import State
from daemon.state.tracker import FleetTracker
from daemon.state.view import FailedOn, eval_input

log = logging.getLogger("encamp.evaluation")

#: plans on their way to the log at once; enough to fill a group commit, few enough to stay fresh.
PLANS_IN_FLIGHT_MAX = 64
#: small evaluations that travel to a worker together, and the allocations at which no more is added.
BATCH_MAX = 16
BATCH_ALLOCS = 64
#: seconds between two looks at timers when nothing is due earlier.
TICK_S = 0.25
EVAL_TYPES = ("service", "batch", "system", "sysbatch")


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
        failed_on: FailedOn | None = None,
    ) -> None:
        self._state = state
        self._failed_on = failed_on
        self._now_ns = now_ns
        self._seed = seed
        self._new_id = new_id
        self.broker = Broker()
        self.launches = RunQueue()
        self.blocked = BlockedEvals()
        self.tracker = FleetTracker()
        self.commits = Commits(
            self.tracker,
            self.broker,
            propose,
            now_ns=now_ns,
            new_id=new_id,
            retry=self._retry,
            wake=self._wake,
            alloc_of=state.alloc,
            job_of=state.job,
            freed=self._freed,
        )
        self.pool = Pool(
            workers,
            delta_since=self.tracker.delta_since,
            on_result=self._on_result,
            on_lost=self._on_lost,
            on_free=self._wake,
            contended=lambda: self.commits.contention.high,
            hang_s=hang_s,
        )
        self._flights: dict[str, Flight] = {}
        self._dry: dict[str, asyncio.Future[Attempt]] = {}
        self._dry_waiting: list[EvalInput] = []
        self._again: list[Flight] = []
        self._wakeup = Signal()
        self._scope = Scope("evaluation", on_failure=self._failed)

    # ---- life ----

    async def start(self) -> None:
        """Start the workers and begin. The state was read when the log called `observe` with a reset."""
        await self.pool.start()
        self._scope.spawn(self._run(), "run")

    async def close(self) -> None:
        """Stop dispatching and kill the workers. What is in flight to the log ends there."""
        self.commits.close()
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
        self.commits.observe(changes)
        self.tracker.observe(changes)
        for before, after in changes.evals:
            self._observe_eval(before, after)
        self._observe_launched(changes.jobs)
        for old_node, node in changes.nodes:
            if node is not None and node.ready and (old_node is None or old_node.epoch != node.epoch):
                self._capacity(node, changes.index)
        for old, alloc in changes.allocs:
            if alloc is not None and alloc.client_terminal and not (old is not None and old.client_terminal):
                node = self._state.node(alloc.node_id)
                if node is not None:
                    self._capacity(node, changes.index)
        self._wake()

    def _capacity(self, node: Node, index: int) -> None:
        """The node has gained room: what waits for it, or for its class, is tried again."""
        now = self._now_ns()
        self._again_from_blocked(self.blocked.unblock_class(node.computed_class, index, now))
        self._again_from_blocked(self.blocked.unblock_node(node.id, index, now))

    def _freed(self, node_ids: list[str]) -> None:
        """Room that was reserved on these nodes is free again, without any change of the state."""
        for node_id in node_ids:
            node = self._state.node(node_id)
            if node is not None:
                self._capacity(node, self._state.index + 1)

    def _again_from_blocked(self, evaluations: list[Evaluation]) -> None:
        """Back to the broker, the stored status unchanged; after the ack for one that is still held."""
        for evaluation in evaluations:
            token = self.broker.outstanding(evaluation.id)
            if token is None:
                self.broker.enqueue(evaluation, self._now_ns())
            else:
                self.broker.requeue(evaluation, token)

    def _observe_eval(self, before: Evaluation | None, after: Evaluation | None) -> None:
        if after is None:
            if before is not None:
                self.launches.settled(before.id)
                self.broker.remove(before.id)
            return
        if after.status != EvalStatus.PENDING:
            self.launches.settled(after.id)
        if after.status == EvalStatus.PENDING:
            if not self._lines_up(after):
                self.broker.enqueue(after, self._now_ns())
        elif after.status == EvalStatus.BLOCKED:
            self._again_from_blocked(self.blocked.block(after))
        elif after.placed or self.blocked.tracked(after.id):
            self.blocked.untrack(after.namespace, after.job_id)
        elif before is not None and before.status == EvalStatus.PENDING:
            self.broker.remove(after.id)

    def _lines_up(self, evaluation: Evaluation) -> bool:
        """True when it is the first of a launched job, which waits for its turn."""
        job = self._state.job(evaluation.namespace, evaluation.job_id)
        if job is None or not job.parent_id or job.stop:
            return False
        parent = self._state.job(job.namespace, job.parent_id)
        return self.launches.offer(evaluation, job.parent_id, parent.max_running if parent is not None else 0)

    def _observe_launched(self, jobs: list[tuple[Job | None, Job | None]]) -> None:
        """Places become free when launched jobs are over; then it is the next ones' turn."""
        for before, after in jobs:
            job = after or before
            if job is None:
                continue
            if job.parent_id and (after is None or after.status == JobStatus.DEAD):
                self.launches.over(job.namespace, job.parent_id, job.id)
            elif job.parent_id and job.stop:
                for evaluation in self._state.evals_by_job(*job.key):
                    if self.launches.pull(evaluation.id) is not None:
                        self.broker.enqueue(evaluation, self._now_ns())
            elif after is not None and (after.periodic is not None or after.parameterized_job is not None):
                self.launches.limit(after.namespace, after.id, after.max_running)
        for evaluation in self.launches.take():
            self.broker.enqueue(evaluation, self._now_ns())

    def _line_up_again(self) -> None:
        """Read from the state which launched jobs have begun."""
        for job in self._state.jobs():
            if not job.parent_id or job.status == JobStatus.DEAD:
                continue
            evals = self._state.evals_by_job(*job.key)
            if job.status == JobStatus.RUNNING or any(e.status != EvalStatus.PENDING for e in evals):
                parent = self._state.job(job.namespace, job.parent_id)
                limit = parent.max_running if parent is not None else 0
                self.launches.begun(job.namespace, job.parent_id, job.id, limit)

    def _reset(self) -> None:
        """Forget everything and read the state anew: at start, or after a snapshot was installed."""
        self.broker.flush()
        self.blocked.flush()
        self.launches.flush()
        self._flights.clear()
        self._again.clear()
        blocks, allocs = self._state.alloc_holdings()
        self.tracker.rebuild(self._state.index, self._state.nodes(), allocs, blocks)
        self._line_up_again()
        for evaluation in self._state.evals():
            self._observe_eval(None, evaluation)
        self._observe_launched([])
        self._wake()

    # ---- dispatch ----

    def _wake(self) -> None:
        self._wakeup.notify()

    async def _run(self) -> None:
        """Hand out evaluations whenever there are some and a worker is free; look at the timers."""
        loop = asyncio.get_running_loop()
        next_tick = loop.time()
        while True:
            seen = self._wakeup.value
            if loop.time() >= next_tick:
                self._tick()
                next_tick = loop.time() + TICK_S
            while self.commits.in_flight < PLANS_IN_FLIGHT_MAX and self._dispatch():
                pass
            await self._wakeup.wait_past(seen, max(0.0, next_tick - loop.time()))

    def _dispatch(self) -> bool:
        """Give one message of work to a free worker. False when there is none of either."""
        worker = self.pool.free_worker()
        if worker is None:
            return False
        if self._dry_waiting:
            self.pool.send(worker, [self._dry_waiting.pop(0)], dry_run=True)
            return True
        if self._state.scheduler_config.pause_eval_broker:
            return False
        flights = self._next_flights()
        if not flights:
            return False
        for flight in flights:
            self._flights[flight.evaluation.id] = flight
        self.pool.send(worker, [self._input(flight) for flight in flights])
        return True

    def _next_flights(self) -> list[Flight]:
        """One evaluation; or several small ones, when more wait than there are workers.

        One that was delivered before goes alone: it may be what killed its worker, and takes no other with it.
        """
        if self._again:
            return [self._again.pop(0)]
        flights: list[Flight] = []
        most = min(BATCH_MAX, max(1, self.broker.ready_about // self.pool.size))
        room = BATCH_ALLOCS
        while room > 0 and len(flights) < most:
            taken = self.broker.dequeue(EVAL_TYPES, self._now_ns(), fresh_only=bool(flights))
            if taken is None:
                break
            flight = Flight(*taken)
            flights.append(flight)
            if self.broker.deliveries(flight.evaluation.id) > 1:
                break
            job = self._state.job(flight.evaluation.namespace, flight.evaluation.job_id)
            room -= sum(group.count for group in job.task_groups) if job is not None else 1
        return flights

    def _input(self, flight: Flight) -> EvalInput:
        item = limited(
            eval_input(
                self._state,
                flight.evaluation,
                now_ns=self._now_ns(),
                seed=self._seed(),
                attempt=flight.attempt,
                failed_on=self._failed_on,
            )
        )
        return seeing(self._state, item, sorted(flight.seeing)) if flight.seeing else item

    async def dry_run(self, item: EvalInput) -> Attempt:
        """What the scheduler would do; nothing is written."""
        while (attempt := await self._dry_run(item)).wants_nodes:
            item = seeing(self._state, item, attempt.wants_nodes)
        return attempt

    async def _dry_run(self, item: EvalInput) -> Attempt:
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
            self.commits.nack(flight)
        elif self.broker.outstanding(flight.evaluation.id) != flight.token:
            # delivered to somebody else meanwhile: this answer is too late
            self.tracker.touch(nodes_of(result.attempt.plan))
        elif flight.looks_at(result.attempt.wants_nodes):
            self._again.append(flight)
        else:
            self.commits.submit(flight, result.attempt)

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
                self.commits.nack(flight)
        self._wake()

    def _retry(self, flight: Flight) -> None:
        """The plan did not commit whole: another attempt, with a newer view."""
        self._again.append(flight)
        self._wake()

    # ---- timers, and evaluations that end without a scheduler ----

    def _tick(self) -> None:
        now = self._now_ns()
        self.broker.tick(now)
        self._again_from_blocked(self.blocked.tick(now))
        ended = [
            canceled(e, now) for e in (*self.broker.drain_cancelable(), *self.blocked.drain_cancelable())
        ]
        for evaluation in self.broker.drain_failed():
            job = self._state.job(evaluation.namespace, evaluation.job_id)
            wanted = job is not None
            ended.extend(given_up(evaluation, self._new_id(), self._seed(), now, follow_up=wanted))
        if ended:
            self.commits.store(tuple(ended))
