"""Why nodes that look fit take no work, or ruin it: quarantines, in plain words. Pure.

Source: users/wants.md 1, 18.
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus
from daemon.model.job import Job
from daemon.model.metrics import AllocMetric
from daemon.model.node import Node
from daemon.model.scopes import ALL
from daemon.state.state import State

_NAMED = 3


def quarantine_lines(
    state: State, job: Job, metric: AllocMetric | None, allocs: Iterable[Allocation]
) -> list[str]:
    """Words for a group with trouble: nodes that were taken out, and suspicious ones where the job failed."""
    lines: list[str] = []
    if metric is not None and metric.nodes_not_ready.get("quarantined"):
        out = [node for node in state.nodes() if node.quarantined and job.node_pool in (ALL, node.node_pool)]
        lines.extend(map(_out, sorted(out, key=lambda node: node.id)[:_NAMED]))
    failed = sorted({alloc.node_id for alloc in allocs if alloc.client_status == ClientStatus.FAILED})
    suspicious = [
        node
        for node in map(state.node, failed)
        if node is not None and node.quarantine is not None and node.quarantine.held_back
    ]
    return [*lines, *map(_suspicious, suspicious[:_NAMED])]


def _out(node: Node) -> str:
    assert node.quarantine is not None
    return (
        f"node {_name(node)} is quarantined: {node.quarantine.reason}; "
        f"`encamp node eligibility -enable {node.id[:8]}` ends that"
    )


def _suspicious(node: Node) -> str:
    assert node.quarantine is not None
    return (
        f"node {_name(node)}: {node.quarantine.reason}; it would be quarantined, but for: "
        f"{node.quarantine.held_back}"
    )


def _name(node: Node) -> str:
    return f'"{node.name}"' if node.name else node.id[:8]
