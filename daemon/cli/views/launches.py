"""Launches of a periodic or parameterized job: when the next is due, how many live, what became of each. Pure.

Source: spec/scheduler.md 8; spec/nomad-surface.md E, row 3.
"""

from __future__ import annotations

from datetime import tzinfo

from daemon.cli.text import Cell, iso, pairs, span, status, table
from daemon.model.base import NS_PER_S
from daemon.model.launch import Run
from daemon.rpc.messages import JobResponse


def next_launch(at_ns: int, now_ns: int, zone: tzinfo | None = None) -> str:
    """`2026-03-01T02:00:00Z (in 3h)`."""
    if not at_ns:
        return "none"
    left_s = (at_ns - now_ns) / NS_PER_S
    return f"{iso(at_ns, zone)} ({f'in {span(left_s)}' if left_s > 0 else 'due now'})"


def launches(
    answer: JobResponse, now_ns: int, *, color: bool = False, zone: tzinfo | None = None
) -> list[str]:
    """Next launch and counts of the children."""
    items: list[tuple[str, Cell]] = []
    if answer.job.periodic is not None and answer.job.parameterized_job is None:
        items.append(("Next Periodic Launch", next_launch(answer.next_launch_ns, now_ns, zone)))
    if answer.children is not None:
        counts = answer.children
        text = f"{counts.pending} pending, {counts.running} running, {counts.dead} dead"
        items.append(("Children Job Summary", text))
    return pairs(items, color=color) if items else []


def runs(
    answer: JobResponse, *, all_: bool = False, color: bool = False, zone: tzinfo | None = None
) -> list[str]:
    """The last launches, newest first."""
    found = answer.launches.runs if answer.launches is not None else ()
    shown = found if all_ else found[:10]
    rows: list[list[Cell]] = [
        [
            run.job_id or "<none>",
            iso(run.launch_ns, zone),
            status(_outcome(run)),
            iso(run.ended_ns, zone) if run.ended_ns else "",
            run.reason or ("forced" if run.forced else ""),
        ]
        for run in shown
    ]
    lines = table(("Job", "Launched", "Outcome", "Ended", "Note"), rows, color=color) if rows else []
    if len(found) > len(shown):
        lines.append(f"... and {len(found) - len(shown)} older; -verbose shows all that are kept")
    return lines


def _outcome(run: Run) -> str:
    return run.outcome or "running"
