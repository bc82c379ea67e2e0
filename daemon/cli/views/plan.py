"""`job plan`: the diff, what would be placed, and how to submit exactly that. Pure.

Source: spec/nomad-surface.md E, row 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from daemon.cli.text import clean, iso, paint, title
from daemon.cli.views.metrics import failures
from daemon.model.plan import GroupAnnotation
from daemon.rpc.messages import JobPlanResponse

#: field of the annotation, word, whether it changes what runs.
_WORDS = (
    ("place", "create", True),
    ("stop", "destroy", True),
    ("migrate", "migrate", True),
    ("reschedule_now", "reschedule", True),
    ("canary", "canary", True),
    ("destructive_update", "create/destroy update", True),
    ("preemptions", "preemption", True),
    ("in_place_update", "in-place update", False),
    ("reschedule_later", "reschedule later", False),
    ("ignore", "ignore", False),
)


def changes(annotations: Mapping[str, GroupAnnotation]) -> bool:
    """Whether the plan would create, destroy or move allocations (exit code 1)."""
    return any(getattr(each, name) for each in annotations.values() for name, _, counts in _WORDS if counts)


def group_words(each: GroupAnnotation) -> str:
    """`2 create, 1 in-place update`."""
    return ", ".join(f"{getattr(each, name)} {word}" for name, word, _ in _WORDS if getattr(each, name))


def plan(
    answer: JobPlanResponse, file: str, *, verbose: bool = False, color: bool = False, with_diff: bool = True
) -> list[str]:
    """All that `job plan` prints."""
    lines: list[str] = []
    if with_diff and answer.diff:
        lines += [*diff_lines(answer.diff, color=color, verbose=verbose), ""]
    lines += [title("Scheduler dry-run:", color=color)]
    for name in sorted(answer.annotations):
        words = group_words(answer.annotations[name])
        if words:
            lines.append(f'- Task Group "{clean(name)}": {words}')
    if answer.failed_tg_allocs:
        lines.append(paint("- WARNING: Failed to place all allocations.", "yellow", color))
        lines += [f"  {line}" for line in failures(answer.failed_tg_allocs, answer.explanations)]
    else:
        lines.append(paint("- All tasks successfully allocated.", "green", color))
    if answer.next_periodic_launch_ns:
        lines.append(f"- If submitted now, it is launched first at {iso(answer.next_periodic_launch_ns)}.")
    lines += ["", f"Job Modify Index: {answer.job_modify_index}"]
    lines += [
        "To submit the job only if nobody changes it in between, run:",
        "",
        f"encamp job run -check-index {answer.job_modify_index} {file}",
    ]
    return lines


_MARK = re.compile(r"^( *)(\+/-|\+|-)(?= )")
_MARK_STYLE = {"+": "green", "-": "red", "+/-": "yellow"}


def diff_lines(diff: Mapping[str, Any], *, color: bool = False, verbose: bool = False) -> list[str]:
    """The tree of changes, from its plain data."""
    from daemon.jobspec.difftypes import JobDiff
    from daemon.jobspec.render import render_diff

    lines = render_diff(msgspec.convert(diff, JobDiff), verbose=verbose).splitlines()
    if not color:
        return lines
    return [
        _MARK.sub(lambda found: found[1] + paint(found[2], _MARK_STYLE[found[2]], True), line)
        for line in lines
    ]
