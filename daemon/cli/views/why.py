"""`job why`: the reasons, group by group, in plain words. Pure.

Source: users/wants.md 1.
"""

from __future__ import annotations

from daemon.cli.text import clean, paint, title
from daemon.cli.views.metrics import metric_lines
from daemon.rpc.messages import GroupWhy, JobWhyResponse


def why(answer: JobWhyResponse, *, color: bool = False) -> list[str]:
    """The headline, then every group that is not where it should be."""
    style = "green" if answer.ok else "yellow"
    headline = answer.headline or (
        "everything that was asked for runs" if answer.ok else f"status {answer.status}"
    )
    lines = [f'Job "{clean(answer.id)}": {paint(clean(headline), style, color)}']
    for group in answer.groups:
        lines += _group(group, color)
    if answer.blocked_eval:
        lines += ["", f"Evaluation {answer.blocked_eval[:8]} waits for a change that makes room."]
    return lines


def _group(group: GroupWhy, color: bool) -> list[str]:
    heading = f'Group "{clean(group.group)}": {group.running} of {group.desired} running'
    if group.missing:
        heading += f", {group.missing} not placed"
    lines = ["", title(heading, color=color)]
    reasons = list(group.lines)
    if not reasons and group.metric is not None and group.missing:
        reasons = metric_lines(group.metric)
    lines += [f"  {clean(reason)}" for reason in reasons]
    return lines
