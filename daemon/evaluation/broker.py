"""Broker: which evaluation is worked on next, by whom, and what if nothing comes back. Pure.

Theory: an evaluation is waiting (not due yet), pending (another of its job is ahead), ready, outstanding (handed out
under a token) or failed (delivered too often). Per job at most one is ready, outstanding or failed, so that two
workers never decide about one job; of those that waited meanwhile only the best is kept, the others are canceled.
Delivery is at least once: an evaluation that is not acknowledged in time comes back, later each time.

Invariants (`check_invariants`): each known evaluation is in one place; a job's slot is held by one that is not pending.

Not here: storing anything; the leader fills it from the state and empties it when it loses leadership. Time is the
leader's clock in ns, monotonic within one leadership.

Source: spec/scheduler.md 2.1.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from daemon.model.base import NS_PER_S
from daemon.model.errors import Conflict, NotFound, check
from daemon.model.evaluation import Evaluation

JobKey = tuple[str, str]


@dataclass(frozen=True)
class BrokerSettings:
    """Times in ns."""

    nack_timeout_ns: int = 60 * NS_PER_S
    delivery_limit: int = 3
    first_nack_delay_ns: int = 1 * NS_PER_S
    later_nack_delay_ns: int = 20 * NS_PER_S


@dataclass
class _Entry:
    evaluation: Evaluation
    place: str
    deliveries: int = 0
    token: str = ""
    #: waiting: when it becomes ready; outstanding: when it comes back, 0 while the timer is paused.
    due_ns: int = 0
    #: re-enqueued by the one who holds it: what to queue after the ack.
    again: Evaluation | None = None
    stamp: int = 0


@dataclass(frozen=True)
class BrokerStats:
    """Numbers of evaluations by place, and of ready ones by type."""

    ready: int = 0
    outstanding: int = 0
    pending: int = 0
    waiting: int = 0
    failed: int = 0
    cancelable: int = 0
    by_type: dict[str, int] = field(default_factory=dict)


class Broker:
    """Owned by the leader. Every method takes or needs no more than the time; none blocks."""

    def __init__(self, prefix: str = "t", settings: BrokerSettings | None = None) -> None:
        self.settings = settings or BrokerSettings()
        #: makes tokens of this leadership different from all others.
        self._prefix = prefix
        self._entries: dict[str, _Entry] = {}
        self._slots: dict[JobKey, str] = {}
        self._pending: dict[JobKey, list[str]] = {}
        self._ready: dict[str, list[tuple[int, int, int, str]]] = {}
        #: (due, stamp, id) of waiting and outstanding ones; stale when the stamp has moved.
        self._timers: list[tuple[int, int, str]] = []
        self._failed: list[str] = []
        self._cancelable: list[Evaluation] = []
        self._stamps = 0

    def __len__(self) -> int:
        return len(self._entries)

    # -- in ----------------------------------------------------------------------------------------

    def enqueue(self, evaluation: Evaluation, now_ns: int) -> None:
        """Take an evaluation in. One that is known already is left as it is."""
        if evaluation.id in self._entries:
            return
        entry = self._entries[evaluation.id] = _Entry(evaluation, "waiting")
        if evaluation.wait_until_ns > now_ns:
            self._wait(entry, evaluation.wait_until_ns)
        else:
            self._make_ready(entry)

    def requeue(self, evaluation: Evaluation, token: str) -> None:
        """Queue again an evaluation that the caller holds: after its ack; a nack drops the wish.

        Raises: NotFound, Conflict as `ack` does.
        """
        self._held(evaluation.id, token).again = evaluation

    def remove(self, eval_id: str) -> bool:
        """Forget an evaluation that is not outstanding. False when it is unknown or outstanding."""
        entry = self._entries.get(eval_id)
        if entry is None or entry.place == "outstanding":
            return False
        if entry.place == "pending":
            self._pending[_job(entry.evaluation)].remove(eval_id)
        elif entry.place == "failed":
            self._failed.remove(eval_id)
        held = self._slots.get(_job(entry.evaluation)) == eval_id
        self._forget(entry)
        if held:
            self._free_slot(_job(entry.evaluation))
        return True

    # -- out ---------------------------------------------------------------------------------------

    def dequeue(
        self, types: Iterable[str], now_ns: int, *, fresh_only: bool = False
    ) -> tuple[Evaluation, str] | None:
        """Hand out the best ready evaluation of these types, with its token.

        `fresh_only`: nothing, if that one was handed out before.
        """
        best: tuple[int, int, int, str] | None = None
        queue: list[tuple[int, int, int, str]] | None = None
        for kind in types:
            heap = self._ready.get(kind)
            self._drop_stale(heap)
            if heap and (best is None or heap[0] < best):
                best, queue = heap[0], heap
        if best is None or queue is None or (fresh_only and self._entries[best[3]].deliveries):
            return None
        heapq.heappop(queue)
        entry = self._entries[best[3]]
        entry.place = "outstanding"
        entry.deliveries += 1
        self._stamps += 1
        entry.token = f"{self._prefix}-{self._stamps}"
        self._arm(entry, now_ns + self.settings.nack_timeout_ns)
        return entry.evaluation, entry.token

    def ack(self, eval_id: str, token: str, now_ns: int) -> None:
        """The evaluation is done. The best one of its job that waited follows, the others are canceled.

        Raises: NotFound when it is not known, Conflict when another holds it now.
        """
        entry = self._held(eval_id, token)
        key = _job(entry.evaluation)
        self._forget(entry)
        self._free_slot(key)
        if entry.again is not None:
            self.enqueue(entry.again, now_ns)

    def nack(self, eval_id: str, token: str, now_ns: int) -> None:
        """The evaluation is not done: deliver it again, later each time, until the limit.

        Raises: as `ack`.
        """
        self._return(self._held(eval_id, token), now_ns)

    def drain_failed(self) -> list[Evaluation]:
        """Evaluations delivered too often, which the caller now stores as failed. Frees their jobs."""
        failed = [self._entries[eval_id] for eval_id in self._failed]
        self._failed.clear()
        for entry in failed:
            key = _job(entry.evaluation)
            self._forget(entry)
            self._free_slot(key)
        return [entry.evaluation for entry in failed]

    def drain_cancelable(self, most: int = 728) -> list[Evaluation]:
        """Evaluations that others made needless, which the caller now stores as canceled."""
        drained, self._cancelable = self._cancelable[:most], self._cancelable[most:]
        return drained

    def flush(self) -> None:
        """Forget everything: leadership is lost."""
        self.__init__(self._prefix, self.settings)  # type: ignore[misc]

    # -- while it is held --------------------------------------------------------------------------

    def outstanding(self, eval_id: str) -> str | None:
        """Token under which it is handed out; None when it is not."""
        entry = self._entries.get(eval_id)
        return entry.token if entry and entry.place == "outstanding" else None

    def touch(self, eval_id: str, token: str, now_ns: int) -> None:
        """Restart its timer: there is progress. Raises: as `ack`."""
        self._arm(self._held(eval_id, token), now_ns + self.settings.nack_timeout_ns)

    def pause(self, eval_id: str, token: str) -> None:
        """Stop its timer, while its plan waits. `touch` starts it again. Raises: as `ack`."""
        entry = self._held(eval_id, token)
        entry.due_ns = 0
        entry.stamp = 0

    # -- time --------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Let pass what is due: waits that end, evaluations that nobody acknowledged."""
        while self._timers and self._timers[0][0] <= now_ns:
            _, stamp, eval_id = heapq.heappop(self._timers)
            entry = self._entries.get(eval_id)
            if entry is None or entry.stamp != stamp:
                continue
            if entry.place == "outstanding":
                self._return(entry, now_ns)
            else:
                self._make_ready(entry)

    def next_deadline(self) -> int | None:
        """When `tick` has something to do; None: never, as things are."""
        while self._timers:
            due, stamp, eval_id = self._timers[0]
            entry = self._entries.get(eval_id)
            if entry is not None and entry.stamp == stamp:
                return due
            heapq.heappop(self._timers)
        return None

    # -- looking -----------------------------------------------------------------------------------

    def has_ready(self, types: Iterable[str]) -> bool:
        """True when `dequeue` would give something."""
        for kind in types:
            heap = self._ready.get(kind)
            self._drop_stale(heap)
            if heap:
                return True
        return False

    def deliveries(self, eval_id: str) -> int:
        """How often an evaluation was handed out; 0: it is not known."""
        entry = self._entries.get(eval_id)
        return entry.deliveries if entry is not None else 0

    @property
    def ready_about(self) -> int:
        """How many are ready, or a little more: those that were taken away may still be counted."""
        return sum(map(len, self._ready.values()))

    def stats(self) -> BrokerStats:
        """Counts for people and metrics."""
        places: dict[str, int] = {}
        kinds: dict[str, int] = {}
        for entry in self._entries.values():
            places[entry.place] = places.get(entry.place, 0) + 1
            if entry.place == "ready":
                kinds[entry.evaluation.type] = kinds.get(entry.evaluation.type, 0) + 1
        return BrokerStats(
            ready=places.get("ready", 0),
            outstanding=places.get("outstanding", 0),
            pending=places.get("pending", 0),
            waiting=places.get("waiting", 0),
            failed=places.get("failed", 0),
            cancelable=len(self._cancelable),
            by_type=dict(sorted(kinds.items())),
        )

    def check_invariants(self) -> None:
        """Raises: InvariantBroken."""
        for key, eval_id in self._slots.items():
            entry = self._entries.get(eval_id)
            check(entry is not None, "a job's slot is held by nobody known", job=key, eval_id=eval_id)
            check(
                entry is None or entry.place != "pending",
                "a pending evaluation holds its job's slot",
                job=key,
            )
        for entry in self._entries.values():
            key = _job(entry.evaluation)
            if entry.place in ("ready", "outstanding", "failed"):
                check(self._slots.get(key) == entry.evaluation.id, "one without the slot of its job", job=key)
            if entry.place == "pending":
                check(key in self._slots, "pending although the job's slot is free", job=key)

    # -- inside ------------------------------------------------------------------------------------

    def _held(self, eval_id: str, token: str) -> _Entry:
        entry = self._entries.get(eval_id)
        if entry is None or entry.place != "outstanding":
            raise NotFound(
                f"evaluation {eval_id} is not handed out; its time may have run out", eval_id=eval_id
            )
        if entry.token != token:
            raise Conflict(f"evaluation {eval_id} is handed out under another token by now", eval_id=eval_id)
        return entry

    def _make_ready(self, entry: _Entry) -> None:
        evaluation = entry.evaluation
        key = _job(evaluation)
        entry.stamp = 0
        holder = self._slots.setdefault(key, evaluation.id)
        if holder != evaluation.id:
            entry.place = "pending"
            self._pending.setdefault(key, []).append(evaluation.id)
            return
        entry.place = "ready"
        self._stamps += 1
        heap = self._ready.setdefault(evaluation.type, [])
        heapq.heappush(heap, (-evaluation.priority, evaluation.create_index, self._stamps, evaluation.id))

    def _return(self, entry: _Entry, now_ns: int) -> None:
        entry.token = ""
        entry.again = None
        if entry.deliveries >= self.settings.delivery_limit:
            entry.place = "failed"
            entry.stamp = 0
            self._failed.append(entry.evaluation.id)
        elif entry.deliveries == 1:
            self._wait(entry, now_ns + self.settings.first_nack_delay_ns)
        else:
            self._wait(entry, now_ns + (entry.deliveries - 1) * self.settings.later_nack_delay_ns)

    def _wait(self, entry: _Entry, until_ns: int) -> None:
        entry.place = "waiting"
        self._arm(entry, until_ns)

    def _arm(self, entry: _Entry, due_ns: int) -> None:
        self._stamps += 1
        entry.due_ns, entry.stamp = due_ns, self._stamps
        heapq.heappush(self._timers, (due_ns, self._stamps, entry.evaluation.id))

    def _forget(self, entry: _Entry) -> None:
        del self._entries[entry.evaluation.id]
        key = _job(entry.evaluation)
        if self._slots.get(key) == entry.evaluation.id:
            del self._slots[key]

    def _free_slot(self, key: JobKey) -> None:
        """Choose the job's next: highest priority, then newest."""
        waiting = [self._entries[eval_id] for eval_id in self._pending.pop(key, ())]
        if not waiting:
            return
        best = max(
            waiting,
            key=lambda e: (e.evaluation.priority, e.evaluation.modify_index, e.evaluation.create_index),
        )
        if any(entry.evaluation.node_id != best.evaluation.node_id for entry in waiting):
            # one that looks at a single node does not answer for those of other nodes: it looks at all
            best.evaluation = msgspec.structs.replace(best.evaluation, node_id="")
        for entry in waiting:
            if entry is not best:
                self._forget(entry)
                self._cancelable.append(entry.evaluation)
        self._make_ready(best)

    def _drop_stale(self, heap: list[tuple[int, int, int, str]] | None) -> None:
        """Remove from the top what was taken away while it was ready."""
        while heap:
            entry = self._entries.get(heap[0][3])
            if entry is not None and entry.place == "ready":
                return
            heapq.heappop(heap)


def _job(evaluation: Evaluation) -> JobKey:
    return (evaluation.namespace, evaluation.job_id)
