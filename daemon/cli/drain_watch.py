"""What changes during a drain, as lines for a person. Pure.

Theory: fed with the node and its allocations as often as they are read; says what is new, and now and then what is
waited for. Only what was there when the drain was seen first, or came later, is spoken of.

Source: spec/nomad-surface.md E3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from daemon.cli.text import many, short, span
from daemon.cli.watch import LINES_MAX, Line
from daemon.model.alloc import Allocation
from daemon.model.base import NS_PER_S
from daemon.model.node import DrainStrategy, Node

#: seconds between two lines on what is waited for.
REMIND_S = 30.0


class DrainWatch:
    """Says what is new; `drained` and `empty` say how far it is."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._strategy: DrainStrategy | None = None
        self._said: dict[str, tuple[str, bool, str]] = {}
        self._reminded_s: float | None = None
        #: the drain is over, whatever its end.
        self.drained = False
        #: nothing that shall stop runs there any more.
        self.empty = False
        #: complete, canceled, or "" when the node was not draining at all.
        self.outcome = ""

    def step(self, node: Node, allocs: Sequence[Allocation], now_ns: int) -> list[Line]:
        """Lines for what has changed."""
        lines = self._node(node, now_ns)
        lines += self._allocs(allocs)
        leaving = [alloc for alloc in allocs if not alloc.client_terminal]
        if self.drained:
            # what a drain leaves alone (ignored system jobs, or all of a canceled one) is not waited for
            leaving = [
                alloc for alloc in leaving if alloc.server_terminal or alloc.desired_transition.migrate
            ]
            self.empty = not leaving
        elif leaving:
            lines += self._remind(node, leaving, now_ns)
        return lines

    def _node(self, node: Node, now_ns: int) -> list[Line]:
        before, self._strategy = self._strategy, node.drain_strategy
        id_ = short(node.id, self._verbose)
        if node.drain_strategy is not None:
            if before is None:
                return [
                    Line(f'Node "{id_}" drains; {deadline_words(node.drain_strategy, now_ns)}', info=True)
                ]
            if before != node.drain_strategy:
                words = deadline_words(node.drain_strategy, now_ns)
                return [Line(f'Node "{id_}" drain updated: {words}', info=True)]
            return []
        if self.drained:
            return []
        self.drained = True
        self.outcome = node.last_drain.status if node.last_drain is not None else ""
        if self.outcome == "complete":
            return [Line(f'Drain complete for node "{id_}"', info=True)]
        if self.outcome:
            return [Line(f'The drain of node "{id_}" was {self.outcome}', info=True)]
        return [Line(f'Node "{id_}" is not draining', info=True)]

    def _allocs(self, allocs: Sequence[Allocation]) -> list[Line]:
        lines: list[Line] = []
        hidden = 0
        for alloc in sorted(allocs, key=lambda each: (each.job_id, each.name, each.create_index)):
            now = (str(alloc.client_status), alloc.desired_transition.migrate, str(alloc.desired_status))
            before = self._said.get(alloc.id)
            self._said[alloc.id] = now
            if before == now or (before is None and (alloc.terminal or not now[1])):
                continue
            words = self._change(before, now)
            if len(lines) >= LINES_MAX:
                hidden += 1
            elif words:
                lines.append(Line(f'Alloc "{short(alloc.id, self._verbose)}" ({alloc.name}) {words}'))
        if hidden:
            lines.append(Line(f"... and {hidden} more allocations changed"))
        return lines

    def _change(self, before: tuple[str, bool, str] | None, now: tuple[str, bool, str]) -> str:
        parts = []
        if now[1] and (before is None or not before[1]):
            parts.append("marked for migration")
        if before is not None and before[2] == "run" != now[2] and before[0] == now[0]:
            parts.append("draining")
        if before is not None and before[0] != now[0]:
            parts.append(f"status {before[0]} -> {now[0]}")
        return ", ".join(parts)

    def _remind(self, node: Node, leaving: Sequence[Allocation], now_ns: int) -> list[Line]:
        now_s = now_ns / NS_PER_S
        if self._reminded_s is not None and now_s - self._reminded_s < REMIND_S:
            return []
        self._reminded_s = now_s
        stopping = sum(alloc.server_terminal for alloc in leaving)
        waiting = Counter(
            f'"{alloc.job_id}"'
            for alloc in leaving
            if not alloc.server_terminal and not alloc.desired_transition.migrate
        )
        text = f"{many(len(leaving), 'allocation')} left"
        if stopping:
            text += f", {stopping} stopping"
        if waiting:
            jobs = ", ".join(f"{count} of {job}" for job, count in waiting.most_common(5))
            more = f" and {len(waiting) - 5} more jobs" if len(waiting) > 5 else ""
            text += f"; not moved yet: {jobs}{more}"
        assert node.drain_strategy is not None
        return [Line(f"{text}; {deadline_words(node.drain_strategy, now_ns)}")]


def deadline_words(strategy: DrainStrategy, now_ns: int) -> str:
    """How long the drain still waits."""
    if strategy.deadline_ns < 0:
        return "everything is moved now"
    if not strategy.force_deadline_ns:
        return "without deadline"
    left_s = (strategy.force_deadline_ns - now_ns) / NS_PER_S
    return f"what is left is moved in {span(left_s)}" if left_s > 0 else "the deadline is over"
