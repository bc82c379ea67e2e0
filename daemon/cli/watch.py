"""What changes about allocations and one evaluation, as lines for a person. Pure.

Theory: `AllocWatch` remembers what it has said of each allocation and says what is new; `EvalWatch` does so for an
evaluation and knows when it is over. Both are fed whole answers, level-triggered: missing one in between loses no
more than a line.

Source: spec/nomad-surface.md E1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from daemon.cli.text import clean, short
from daemon.cli.views.metrics import failures
from daemon.model.alloc import Allocation
from daemon.model.enums import Trigger
from daemon.model.evaluation import Evaluation
from daemon.rpc.messages import EvalResponse

#: a job with a million allocations is not listed one by one.
LINES_MAX = 30


class Line(NamedTuple):
    """`info` lines bear an arrow, details are indented; `bare` ones have no time."""

    text: str
    info: bool = False
    bare: bool = False


class AllocWatch:
    """Says what is new about allocations."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._said: dict[str, str] = {}

    def adopt(self, allocs: Iterable[Allocation]) -> None:
        """Know these already: nothing is said of them until they change."""
        for alloc in allocs:
            self._said.setdefault(alloc.id, str(alloc.client_status))

    def step(self, allocs: Iterable[Allocation]) -> list[Line]:
        """Lines for what has changed, oldest allocation first."""
        lines: list[Line] = []
        hidden = 0
        for alloc in sorted(allocs, key=lambda each: (each.create_index, each.name)):
            before = self._said.get(alloc.id)
            now = str(alloc.client_status)
            if before == now:
                continue
            self._said[alloc.id] = now
            if len(lines) >= LINES_MAX:
                hidden += 1
            else:
                lines.append(Line(self._text(alloc, before, now)))
        if hidden:
            lines.append(Line(f"... and {hidden} more allocations changed"))
        return lines

    def _text(self, alloc: Allocation, before: str | None, now: str) -> str:
        id_ = short(alloc.id, self._verbose)
        if before is not None:
            about = f" ({clean(alloc.client_description)})" if alloc.client_description else ""
            return f'Allocation "{id_}" status changed: "{before}" -> "{now}"{about}'
        where = f'node "{short(alloc.node_id, self._verbose)}", group "{clean(alloc.task_group)}"'
        verb = "modified" if alloc.modify_index > alloc.create_index and now != "pending" else "created"
        return f'Allocation "{id_}" {verb}: {where}'


class EvalWatch:
    """Says what happens to one evaluation until it is over."""

    def __init__(self, eval_id: str, *, verbose: bool = False) -> None:
        self.eval_id = eval_id
        self._verbose = verbose
        self._status = ""
        self._allocs = AllocWatch(verbose=verbose)
        self.ended: Evaluation | None = None

    def step(self, answer: EvalResponse, allocs: Iterable[Allocation]) -> list[Line]:
        """Lines for what has changed; sets `ended`."""
        each = answer.evaluation
        lines: list[Line] = []
        if not self._status:
            lines.append(Line(f"Evaluation triggered by {self._cause(each)}"))
            if each.deployment_id:
                lines.append(
                    Line(f'Evaluation within deployment: "{short(each.deployment_id, self._verbose)}"')
                )
        lines += self._allocs.step(allocs)
        if self._status and self._status != each.status:
            lines.append(Line(f'Evaluation status changed: "{self._status}" -> "{each.status}"'))
        self._status = str(each.status)
        if each.terminal or each.status == "blocked":
            self.ended = each
            lines += self._end(answer)
        return lines

    def _cause(self, each: Evaluation) -> str:
        if each.triggered_by == Trigger.NODE_UPDATE and each.node_id:
            return f'node "{short(each.node_id, self._verbose)}"'
        return f'job "{clean(each.job_id)}"'

    def _end(self, answer: EvalResponse) -> list[Line]:
        each = answer.evaluation
        about = (
            f": {clean(each.status_description)}"
            if each.status_description and each.status != "complete"
            else ""
        )
        head = f'Evaluation "{short(each.id, self._verbose)}" finished with status "{each.status}"'
        if not each.failed_tg_allocs:
            return [Line(head + about, info=True)]
        lines = [Line(f"{head} but failed to place all allocations{about}:", info=True)]
        lines += [
            Line(f"    {text}", bare=True) for text in failures(each.failed_tg_allocs, answer.explanations)
        ]
        waiting = each.blocked_eval or (each.id if each.status == "blocked" else "")
        if waiting:
            id_ = short(waiting, self._verbose)
            lines.append(Line(f'Evaluation "{id_}" waiting for additional capacity to place the remainder'))
        return lines
