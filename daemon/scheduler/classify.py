"""Sorting a group's allocations into the reconciler's sets, first rule that applies. Pure.

Theory: a node is fine (or drains), out of sight (disconnected), or lost (down or gone). What runs on a node out of
sight becomes unknown and is waited for, if its group has a `lost_after`; when that is over, or there is none, it is
lost. What was unknown and whose node is back is `reconnecting`, whatever has become of it meanwhile. An allocation that
is over stays `untainted`: whether it is replaced is the reschedule rules' matter.

Source: spec/scheduler.md 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, NodeStatus
from daemon.model.plan import NodeView
from daemon.model.policies import DisconnectStrategy

_LOST = frozenset({NodeStatus.DOWN, NodeStatus.DISCONNECTED})


@dataclass
class Sets:
    """The sets of one group."""

    untainted: list[Allocation] = field(default_factory=list)
    migrate: list[Allocation] = field(default_factory=list)
    lost: list[Allocation] = field(default_factory=list)
    ignored: list[Allocation] = field(default_factory=list)
    #: run on a node that is out of sight: to be marked unknown.
    disconnecting: list[Allocation] = field(default_factory=list)
    #: were unknown, and their node is back.
    reconnecting: list[Allocation] = field(default_factory=list)


def node_lost(node: NodeView | None) -> bool:
    """True when nothing is heard of what ran there."""
    return node is None or node.status in _LOST


def ran_successfully(alloc: Allocation) -> bool:
    """True when every task ended, none failed."""
    states = alloc.task_states.values()
    return bool(states) and all(state.successful for state in states)


def lost_after_ns(disconnect: DisconnectStrategy | None) -> int:
    """How long the group's allocations are waited for; 0: not at all."""
    return disconnect.lost_after_ns if disconnect is not None else 0


def fate(alloc: Allocation, node: NodeView | None, disconnect: DisconnectStrategy | None, now_ns: int) -> str:
    """The set of an allocation that the servers want: the name of a field of `Sets`."""
    was_away, wait_ns = alloc.away_since_ns > 0, lost_after_ns(disconnect)
    out_of_sight = node_lost(node)
    if alloc.client_terminal:
        return "reconnecting" if was_away and not out_of_sight else "untainted"
    if alloc.client_status == ClientStatus.UNKNOWN:
        if now_ns - alloc.away_since_ns >= wait_ns:
            return "lost"
        if out_of_sight:
            kept = node is not None and (node.status == NodeStatus.DISCONNECTED or _unreplaced(disconnect))
            return "untainted" if kept else "lost"
        # back, but not yet heard of: its word comes with the node's next report.
        return "untainted"
    if out_of_sight:
        waits = alloc.client_status == ClientStatus.RUNNING and wait_ns > 0 and node is not None
        seen = waits and node is not None and node.status == NodeStatus.DISCONNECTED
        return "disconnecting" if seen or (waits and _unreplaced(disconnect)) else "lost"
    if alloc.desired_transition.migrate:
        return "migrate"
    return "reconnecting" if was_away else "untainted"


def _unreplaced(disconnect: DisconnectStrategy | None) -> bool:
    return disconnect is not None and not disconnect.replace


def classify(
    allocs: Iterable[Allocation],
    nodes: dict[str, NodeView],
    *,
    batch: bool,
    disconnect: DisconnectStrategy | None = None,
    now_ns: int = 0,
) -> Sets:
    """Sort them. Batch keeps what was stopped after it had succeeded, or forced out by a drain: it counts as done."""
    sets = Sets()
    for alloc in allocs:
        if alloc.server_terminal:
            succeeded = alloc.client_terminal and ran_successfully(alloc)
            drained = alloc.desired_transition.migrate_disable_placement
            (sets.untainted if batch and (succeeded or drained) else sets.ignored).append(alloc)
        elif alloc.client_terminal and alloc.desired_transition.migrate and _canary(alloc):
            sets.migrate.append(alloc)
        else:
            found: list[Allocation] = getattr(sets, fate(alloc, nodes.get(alloc.node_id), disconnect, now_ns))
            found.append(alloc)
    return sets


def stuck_on_lost_nodes(allocs: Iterable[Allocation], nodes: dict[str, NodeView]) -> list[Allocation]:
    """Stopped already, but the node that should say so is lost: they are lost, too."""
    return [
        alloc
        for alloc in allocs
        if alloc.server_terminal and not alloc.client_terminal and node_lost(nodes.get(alloc.node_id))
    ]


def _canary(alloc: Allocation) -> bool:
    return alloc.deployment_status is not None and alloc.deployment_status.canary
