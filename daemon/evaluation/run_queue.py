"""RunQueue: launched jobs that wait for their turn, in front of the broker. Pure.

Theory: the first evaluation of a launched job (a child of a periodic or parameterized one) waits here until its parent
has a free place (`max_running`; 0 is no limit) and the broker holds fewer than `window` of them. Turns go round: one
namespace after the other, in each one parent after the other, for a parent the higher priority first, then the
older. So a hundred thousand dispatches of one job neither fill the broker nor hold up another job's. Nothing is kept
but in the state: a child that has not begun has a pending evaluation and no allocation; after a restart it lines up
again where it was.

Invariants (`check_invariants`): a parent is in the round exactly when it has a waiting evaluation and a free place.

Source: users/wants.md 25.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from daemon.model.errors import check
from daemon.model.evaluation import Evaluation

JobKey = tuple[str, str]
#: launched jobs whose first evaluation the broker holds at once.
WINDOW = 256


@dataclass
class _Line:
    """The children of one parent. `waiting`: (-priority, create index, eval id), with stale entries."""

    limit: int = 0
    waiting: list[tuple[int, int, str]] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)

    @property
    def has_place(self) -> bool:
        return not self.limit or len(self.begun) < self.limit


class RunQueue:
    """Owned by the leader, filled from the state."""

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window
        self._lines: dict[JobKey, _Line] = {}
        self._waiting: dict[str, tuple[Evaluation, JobKey]] = {}
        self._released: set[str] = set()
        #: namespace -> parents whose turn it may be; both in the order of their turns.
        self._round: dict[str, dict[JobKey, None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, evaluation: Evaluation, parent_id: str, limit: int) -> bool:
        """Take an evaluation of a child in. False when the child has begun: it needs no turn."""
        key = (evaluation.namespace, parent_id)
        line = self._line(key, limit)
        if evaluation.job_id in line.begun:
            return False
        if evaluation.id not in self._waiting:
            self._waiting[evaluation.id] = (evaluation, key)
            heapq.heappush(line.waiting, (-evaluation.priority, evaluation.create_index, evaluation.id))
        self._settle(key, line)
        return True

    def begun(self, namespace: str, parent_id: str, child_id: str, limit: int) -> None:
        """A child that runs already, at a start."""
        key = (namespace, parent_id)
        line = self._line(key, limit)
        line.begun.add(child_id)
        self._settle(key, line)

    def over(self, namespace: str, parent_id: str, child_id: str) -> None:
        """A child is over, stopped or gone: its place is free, its waiting evaluations are nobody's."""
        key = (namespace, parent_id)
        line = self._lines.get(key)
        if line is None:
            return
        line.begun.discard(child_id)
        self._settle(key, line)
        self._drop_empty(key, line)

    def limit(self, namespace: str, parent_id: str, limit: int) -> None:
        """The parent's max_running has changed."""
        key = (namespace, parent_id)
        if key in self._lines:
            self._settle(key, self._line(key, limit))

    def settled(self, eval_id: str) -> None:
        """An evaluation has left the broker, or ended while it waited."""
        self._released.discard(eval_id)
        held = self._waiting.pop(eval_id, None)
        if held is not None:
            key = held[1]
            self._settle(key, self._lines[key])

    def pull(self, eval_id: str) -> Evaluation | None:
        """Take an evaluation out of the line, whoever's turn it is (its job is being stopped)."""
        held = self._waiting.get(eval_id)
        if held is None:
            return None
        self.settled(eval_id)
        return held[0]

    def take(self) -> list[Evaluation]:
        """Evaluations whose turn it is, for the broker."""
        taken: list[Evaluation] = []
        while self._round and len(self._released) < self.window:
            namespace, parents = next(iter(self._round.items()))
            key = next(iter(parents))
            line = self._lines[key]
            self._drop_stale(line)
            evaluation, _ = self._waiting.pop(heapq.heappop(line.waiting)[2])
            line.begun.add(evaluation.job_id)
            self._released.add(evaluation.id)
            taken.append(evaluation)
            del parents[key]
            del self._round[namespace]
            if parents:
                self._round[namespace] = parents
            self._settle(key, line)
        return taken

    def flush(self) -> None:
        """Forget everything: leadership is lost."""
        self.__init__(self.window)  # type: ignore[misc]

    def check_invariants(self) -> None:
        """Raises InvariantBroken."""
        for key, line in self._lines.items():
            waits = any(each[2] in self._waiting for each in line.waiting)
            turn = key in self._round.get(key[0], ())
            check(
                turn == (waits and line.has_place),
                "a parent is in the round when it may take a turn",
                key=key,
            )
            check(
                not line.limit or len(line.begun) <= line.limit or not turn,
                "a full parent has no turn",
                key=key,
            )

    def _line(self, key: JobKey, limit: int) -> _Line:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
        line.limit = limit
        return line

    def _drop_stale(self, line: _Line) -> None:
        while line.waiting and line.waiting[0][2] not in self._waiting:
            heapq.heappop(line.waiting)

    def _settle(self, key: JobKey, line: _Line) -> None:
        """Put a parent into the round, at its end, or take it out."""
        self._drop_stale(line)
        if line.waiting and line.has_place:
            self._round.setdefault(key[0], {}).setdefault(key, None)
        elif key in (parents := self._round.get(key[0], {})):
            del parents[key]
            if not parents:
                del self._round[key[0]]

    def _drop_empty(self, key: JobKey, line: _Line) -> None:
        if not line.waiting and not line.begun:
            del self._lines[key]
