"""`simulate`: the table of groups, reasons, machines to add, the loss, and the picture of who is how full. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from daemon.cli.text import Cell, Styled, clean, many, paint, table, title
from daemon.cli.views.occupancy import occupancy
from daemon.cli.views.plan import group_words
from daemon.simulate.report import GroupResult, Loss, Machines, Needed, Report

#: moves shown without -verbose.
_MOVES_SHOWN = 20
_WIDTH = 80


def report(
    answer: Report, by: str, *, verbose: bool = False, color: bool = False, blocks: bool = True
) -> list[str]:
    """All that is printed."""
    lines: list[str] = []
    if answer.groups:
        lines += [title("Placement", color=color), *_groups(answer.groups, verbose, color), ""]
        lines += _needed(answer.needed, color)
    lines += [title(f"Occupancy by {by}", color=color)]
    lines += occupancy(answer.usage, color=color, blocks=blocks)
    if answer.loss is not None:
        lines += ["", *_loss(answer.loss, by, verbose, color, blocks)]
    lines += ["", _verdict(answer, color)]
    return lines


def _verdict(answer: Report, color: bool) -> str:
    if answer.fits:
        words = "Everything has a node, after the loss, too." if answer.loss else "Everything has a node."
        return paint(words, "green", color)
    count = sum(group.missing for group in answer.groups)
    if answer.loss is not None:
        lost = sum(group.missing for group in answer.loss.groups)
        return paint(
            f"Without a node: {many(count, 'allocation')} before the loss, {lost} after it.", "yellow", color
        )
    return paint(f"Without a node: {many(count, 'allocation')}.", "yellow", color)


def _groups(groups: Sequence[GroupResult], verbose: bool, color: bool) -> list[str]:
    header = ("Job", "Group", "Type", "Wanted", "Placed", "Missing", "Nodes")
    rows: list[list[Cell]] = [
        [
            _cut(group.job_id, 20),
            _cut(group.group, 14),
            group.type,
            str(group.wanted),
            str(group.placed),
            Styled(str(group.missing), "red") if group.missing else "0",
            str(len({each.node_id for each in group.placements})),
        ]
        for group in groups
    ]
    lines = table(header, rows, color=color)
    for group in groups:
        lines += _group(group, verbose)
    return lines


def _group(group: GroupResult, verbose: bool) -> list[str]:
    lines: list[str] = []
    name = f"{clean(group.job_id)}/{clean(group.group)}"
    if group.missing:
        lines += ["", f"{name}: {group.missing} of {many(group.wanted, 'allocation')} found no node"]
        lines += [part for line in group.reasons for part in _wrapped(clean(line))]
    if verbose:
        words = group_words(group.annotation)
        lines += ["", f"{name}: {words or 'no change'}"]
        lines += [
            f"  {clean(each.name)} on {clean(each.node_name)}{'' if each.fresh else ' (as before)'}"
            for each in group.placements
        ]
    return lines


def _needed(needed: Needed | None, color: bool) -> list[str]:
    if needed is None:
        return []
    lines = [title("Machines to add so that all of it fits", color=color)]
    lines += [f"{'  or ' if place else ''}{_machines(each)}" for place, each in enumerate(needed.options)]
    if needed.mix:
        lines.append(" and ".join(_machines(each) for each in needed.mix))
    if needed.never:
        lines.append("No known kind of machine would take:")
        lines += [f"  {clean(each)}" for each in needed.never]
    return [*lines, ""]


def _machines(machines: Machines) -> str:
    size = f"{machines.cpu} MHz, {machines.memory_mb} MB"
    return f"{machines.count} x {clean(machines.kind)} ({size} each)"


def _loss(loss: Loss, by: str, verbose: bool, color: bool, blocks: bool) -> list[str]:
    nodes = many(len(loss.nodes), "node")
    lines = [title(f"After losing {', '.join(map(clean, loss.lost))} ({nodes})", color=color)]
    moved = [move for move in loss.moves if move.to_name]
    stay = [move for move in loss.moves if not move.to_name]
    lines.append(f"{many(len(loss.moves), 'allocation')} lost there, {len(moved)} placed elsewhere.")
    shown = loss.moves if verbose else [*stay, *moved][:_MOVES_SHOWN]
    if shown:
        rows: list[list[Cell]] = [
            [
                _cut(move.name, 30),
                _cut(move.from_name, 14),
                _cut(move.to_name, 14) if move.to_name else Styled(move.note, "yellow"),
            ]
            for move in shown
        ]
        lines += ["", *table(("Allocation", "From", "To"), rows, color=color)]
    if len(shown) < len(loss.moves):
        lines.append(f"... and {len(loss.moves) - len(shown)} more; -verbose shows all")
    for group in loss.groups:
        lines += _group(group, False)
    return [
        *lines,
        "",
        *_needed(loss.needed, color),
        title(f"Occupancy by {by}, after the loss", color=color),
        *occupancy(loss.usage, color=color, blocks=blocks),
    ]


def _wrapped(text: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}~"
