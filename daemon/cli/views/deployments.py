"""Deployments as tables: the list, and one with its groups. Pure.

Source: spec/nomad-surface.md E, deployment commands.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.cli.text import Cell, clean, iso, pairs, short, status, table
from daemon.model.alloc import Allocation
from daemon.model.deployment import Deployment


def deployment_list(rows: Sequence[Deployment], *, verbose: bool = False, color: bool = False) -> list[str]:
    """The table of deployments, newest first."""
    if not rows:
        return ["No deployments found"]
    header = ("ID", "Job ID", "Job Version", "Status", "Description")
    cells: list[list[Cell]] = [
        [
            short(row.id, verbose),
            row.job_id,
            str(row.job_version),
            status(row.status),
            row.status_description if verbose else _cut(row.status_description),
        ]
        for row in rows
    ]
    return table(header, cells, color=color)


def _cut(text: str, most: int = 34) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def deployment_pairs(row: Deployment, *, verbose: bool = False, color: bool = False) -> list[str]:
    """The facts of one deployment."""
    items: list[tuple[str, Cell]] = [
        ("ID", short(row.id, verbose)),
        ("Job ID", row.job_id),
        ("Job Version", str(row.job_version)),
        ("Status", status(row.status)),
        ("Description", row.status_description),
    ]
    clocks = [g.require_progress_by_ns for g in row.task_groups.values() if g.require_progress_by_ns]
    if row.active and clocks:
        items.append(("Progress By", iso(min(clocks))))
    if verbose:
        items += [("Namespace", row.namespace), ("Created", iso(row.create_time_ns))]
    return pairs(items, color=color)


def group_table(row: Deployment, *, verbose: bool = False, color: bool = False) -> list[str]:
    """Where each group stands. Columns that say nothing of any group are left out; deadlines only with `verbose`."""
    groups = sorted(row.task_groups.items())
    if not groups:
        return []
    canaries = any(group.desired_canaries for _, group in groups)
    header = ["Task Group", "Desired", "Placed", "Healthy", "Unhealthy"]
    cells: list[list[Cell]] = [
        [
            name,
            str(group.desired_total),
            str(group.placed_allocs),
            str(group.healthy_allocs),
            str(group.unhealthy_allocs),
        ]
        for name, group in groups
    ]
    if canaries:
        header[1:1] = ["Promoted", "Canaries"]
        for cell, (_, group) in zip(cells, groups, strict=True):
            promoted = str(group.promoted).lower() if group.desired_canaries else "N/A"
            cell[1:1] = [promoted, str(group.desired_canaries)]
    if any(group.auto_revert for _, group in groups):
        header[1:1] = ["Auto Revert"]
        for cell, (_, group) in zip(cells, groups, strict=True):
            cell[1:1] = [str(group.auto_revert).lower()]
    if verbose:
        header.append("Progress Deadline")
        for cell, (_, group) in zip(cells, groups, strict=True):
            cell.append(iso(group.require_progress_by_ns) if row.active else "")
    return table(header, cells, color=color)


def unready_canaries(
    row: Deployment, allocs: Sequence[Allocation], groups: Sequence[str], verbose: bool = False
) -> list[str]:
    """One line for each canary that keeps the groups (all of them, if none is named) from being promoted."""
    lines = []
    for alloc in allocs:
        group = row.task_groups.get(alloc.task_group)
        if group is None or group.promoted or alloc.id not in group.placed_canaries:
            continue
        if groups and alloc.task_group not in groups:
            continue
        health = alloc.deployment_status.healthy if alloc.deployment_status is not None else None
        if health and not alloc.terminal:
            continue
        judged = {None: "not judged yet", False: "unhealthy", True: "over"}[health]
        id_ = short(alloc.id, verbose)
        lines.append(
            f"canary {id_} of group {clean(alloc.task_group)!r} is {alloc.client_status}, {judged}; "
            f"`encamp alloc status {id_}` shows why"
        )
    return lines


def whole(row: Deployment, *, verbose: bool = False, color: bool = False) -> list[str]:
    """Facts and groups."""
    groups = group_table(row, verbose=verbose, color=color)
    return [
        *deployment_pairs(row, verbose=verbose, color=color),
        *(["", "Deployed", *groups] if groups else []),
    ]
