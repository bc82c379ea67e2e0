"""BlockedEvals: evaluations that wait for room, and what wakes them. Pure.

Theory: an evaluation that failed to place recorded which computed classes could serve it; a class that gains room
wakes those that did not find it infeasible, so classes never seen wake, too. `escaped` ones wake on any class. The
log indexes of wake-ups are remembered: an evaluation that was decided on an older view than a wake-up it would have
heard goes straight back. Per job one is kept, the newer; those of system jobs for one node are kept per node.

Source: spec/scheduler.md 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.model.base import NS_PER_S
from daemon.model.enums import Trigger
from daemon.model.evaluation import Evaluation

#: evaluations blocked because plans kept failing are tried again this often.
RETRY_NS = 60 * NS_PER_S
#: memory of wake-ups.
PRUNE_NS = 300 * NS_PER_S
FORGET_NS = 900 * NS_PER_S

JobKey = tuple[str, str, str]


@dataclass(frozen=True)
class BlockedStats:
    """Numbers of blocked evaluations."""

    captured: int = 0
    escaped: int = 0
    nodes: int = 0
    cancelable: int = 0


class BlockedEvals:
    """Owned by the leader. Methods that wake return the evaluations to enqueue, in the order they came."""

    def __init__(self) -> None:
        self._blocked: dict[str, Evaluation] = {}
        self._by_job: dict[JobKey, str] = {}
        #: node -> ids of those that wait for it; class -> how many of the others do not hear it.
        self._by_node: dict[str, dict[str, None]] = {}
        self._deaf: dict[str, int] = {}
        self._hearing = 0
        #: "class C" or "node N" -> (index, when).
        self._woken: dict[str, tuple[int, int]] = {}
        self._cancelable: list[Evaluation] = []
        self._retry_at_ns = 0
        self._prune_at_ns = 0

    def block(self, evaluation: Evaluation) -> list[Evaluation]:
        """Keep it until something wakes it. Returns it at once if it missed its wake-up."""
        if evaluation.id in self._blocked:
            return []
        key = _key(evaluation)
        other = self._blocked.get(self._by_job.get(key, ""))
        if other is not None:
            if _age(evaluation) < _age(other):
                self._cancelable.append(evaluation)
                return []
            self._forget(other)
            self._cancelable.append(other)
        if self._missed(evaluation):
            return [evaluation]
        self._blocked[evaluation.id] = evaluation
        self._by_job[key] = evaluation.id
        self._index(evaluation, 1)
        return []

    def unblock_class(self, computed_class: str, index: int, now_ns: int) -> list[Evaluation]:
        """Nodes of the class gained room, at that index of the log."""
        self._woken[f"class {computed_class}"] = (index, now_ns)
        if self._deaf.get(computed_class, 0) == self._hearing:
            # the usual case on a busy cluster: all that still wait recorded this class as infeasible.
            return []
        return self._wake([e for e in self._blocked.values() if _hears_class(e, computed_class)])

    def unblock_node(self, node_id: str, index: int, now_ns: int) -> list[Evaluation]:
        """The node changed or gained room: wakes what waits for this very node."""
        self._woken[f"node {node_id}"] = (index, now_ns)
        return self._wake([self._blocked[eval_id] for eval_id in self._by_node.get(node_id, ())])

    def untrack(self, namespace: str, job_id: str) -> list[Evaluation]:
        """The job's evaluation succeeded, or the job is gone. Returns what is forgotten, to be canceled."""
        gone = [e for e in self._blocked.values() if e.namespace == namespace and e.job_id == job_id]
        for evaluation in gone:
            self._forget(evaluation)
        return gone

    def tick(self, now_ns: int) -> list[Evaluation]:
        """Try again, each minute, what was blocked because its plans kept failing."""
        if now_ns >= self._prune_at_ns:
            self._prune_at_ns = now_ns + PRUNE_NS
            self._woken = {key: at for key, at in self._woken.items() if now_ns - at[1] <= FORGET_NS}
        if now_ns < self._retry_at_ns:
            return []
        first = self._retry_at_ns == 0
        self._retry_at_ns = now_ns + RETRY_NS
        if first:
            return []
        return self._wake([e for e in self._blocked.values() if e.triggered_by == Trigger.MAX_PLAN_ATTEMPTS])

    def next_deadline(self) -> int | None:
        """When `tick` has something to do."""
        return self._retry_at_ns or None

    def drain_cancelable(self) -> list[Evaluation]:
        """Evaluations displaced by newer ones of their job, which the caller now stores as canceled."""
        drained, self._cancelable = self._cancelable, []
        return drained

    def tracked(self, eval_id: str) -> bool:
        """True while it is blocked here."""
        return eval_id in self._blocked

    def flush(self) -> None:
        """Forget everything: leadership is lost."""
        self.__init__()  # type: ignore[misc]

    def stats(self) -> BlockedStats:
        """Counts for people and metrics."""
        kept = self._blocked.values()
        return BlockedStats(
            captured=sum(1 for e in kept if not e.node_id and not e.escaped_computed_class),
            escaped=sum(1 for e in kept if not e.node_id and e.escaped_computed_class),
            nodes=sum(1 for e in kept if e.node_id),
            cancelable=len(self._cancelable),
        )

    def _wake(self, evaluations: list[Evaluation]) -> list[Evaluation]:
        for evaluation in evaluations:
            self._forget(evaluation)
        return evaluations

    def _forget(self, evaluation: Evaluation) -> None:
        del self._blocked[evaluation.id]
        if self._by_job.get(_key(evaluation)) == evaluation.id:
            del self._by_job[_key(evaluation)]
        self._index(evaluation, -1)

    def _index(self, evaluation: Evaluation, sign: int) -> None:
        if evaluation.node_id:
            waiting = self._by_node.setdefault(evaluation.node_id, {})
            if sign > 0:
                waiting[evaluation.id] = None
            else:
                del waiting[evaluation.id]
                if not waiting:
                    del self._by_node[evaluation.node_id]
            return
        self._hearing += sign
        if evaluation.escaped_computed_class:
            return
        for computed_class, eligible in evaluation.class_eligibility.items():
            if not eligible:
                count = self._deaf.get(computed_class, 0) + sign
                if count:
                    self._deaf[computed_class] = count
                else:
                    del self._deaf[computed_class]

    def _missed(self, evaluation: Evaluation) -> bool:
        """True when something it would have heard happened after the view it was decided on."""
        if evaluation.node_id:
            return self._woken.get(f"node {evaluation.node_id}", (0, 0))[0] > evaluation.snapshot_index
        return any(
            index > evaluation.snapshot_index and _hears_class(evaluation, key.removeprefix("class "))
            for key, (index, _) in self._woken.items()
            if key.startswith("class ")
        )


def _key(evaluation: Evaluation) -> JobKey:
    return (evaluation.namespace, evaluation.job_id, evaluation.node_id)


def _age(evaluation: Evaluation) -> int:
    return max(evaluation.create_index, evaluation.snapshot_index)


def _hears_class(evaluation: Evaluation, computed_class: str) -> bool:
    if evaluation.node_id:
        return False
    if evaluation.escaped_computed_class:
        return True
    return evaluation.class_eligibility.get(computed_class, True)
