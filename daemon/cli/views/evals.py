"""Evaluations: the list, and one with what it could not place. Pure.

Source: spec/nomad-surface.md E, row 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from daemon.cli.text import Cell, iso, pairs, short, status, table
from daemon.model.evaluation import Evaluation


def eval_list(evals: Sequence[Evaluation], *, verbose: bool = False, color: bool = False) -> list[str]:
    """The table of evaluations, newest first. The namespace and node only with `verbose`: they do not fit."""
    if not evals:
        return ["No evaluations found"]
    header = ["ID", "Priority", "Triggered By", "Job ID", "Status", "Placement Failures"]
    rows: list[list[Cell]] = [
        [
            short(each.id, verbose),
            str(each.priority),
            str(each.triggered_by),
            each.job_id,
            status(each.status),
            failures_word(each),
        ]
        for each in evals
    ]
    if verbose:
        header[4:4] = ["Namespace", "Node ID"]
        for row, each in zip(rows, evals, strict=True):
            row[4:4] = [each.namespace, each.node_id]
    return table(header, rows, color=color)


def failures_word(each: Evaluation) -> str:
    """Whether something could not be placed; blocked evaluations wait for it."""
    if each.status == "blocked":
        return "N/A - In Progress"
    return "true" if each.failed_tg_allocs else "false"


def eval_pairs(
    each: Evaluation, *, verbose: bool = False, color: bool = False, zone: tzinfo | None = None
) -> list[str]:
    """The facts of one evaluation."""
    items: list[tuple[str, Cell]] = [
        ("ID", each.id),
        ("Create Time", iso(each.create_time_ns, zone)),
        ("Modify Time", iso(each.modify_time_ns, zone)),
        ("Status", status(each.status)),
        ("Status Description", each.status_description or str(each.status)),
        ("Type", each.type),
        ("Triggered By", str(each.triggered_by)),
        ("Job ID", each.job_id),
        ("Namespace", each.namespace),
        ("Priority", str(each.priority)),
        ("Placement Failures", failures_word(each)),
    ]
    optional = [
        ("Node ID", each.node_id),
        ("Wait Until", iso(each.wait_until_ns, zone)),
        ("Previous Eval", each.previous_eval),
        ("Next Eval", each.next_eval),
        ("Blocked Eval", each.blocked_eval),
    ]
    items += [
        (key, value if key == "Wait Until" else short(value, verbose)) for key, value in optional if value
    ]
    return pairs(items, color=color)


def related_table(evals: Sequence[Evaluation], *, verbose: bool = False, color: bool = False) -> list[str]:
    """Evaluations of the same chain."""
    rows: list[list[Cell]] = [
        [
            short(each.id, verbose),
            str(each.priority),
            str(each.triggered_by),
            status(each.status),
            each.status_description,
        ]
        for each in evals
    ]
    return (
        table(("ID", "Priority", "Triggered By", "Status", "Description"), rows, color=color) if rows else []
    )
