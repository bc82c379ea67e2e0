"""Sorting a group's allocations into the reconciler's sets, first rule that applies. Pure.

Theory: a node is fine, draining, or lost (down, disconnected or gone). An allocation that is over stays
`untainted`: whether it is replaced is the reschedule rules' matter. Disconnect and reconnect rules have their
place between the rules for `lost` and `migrate`.

Source: spec/scheduler.md 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from daemon.model.alloc import Allocation
from daemon.model.enums import NodeStatus
from daemon.model.plan import NodeView

_LOST = frozenset({NodeStatus.DOWN, NodeStatus.DISCONNECTED})


@dataclass
class Sets:
    """The sets of one group."""

    untainted: list[Allocation] = field(default_factory=list)
    migrate: list[Allocation] = field(default_factory=list)
    lost: list[Allocation] = field(default_factory=list)
    ignored: list[Allocation] = field(default_factory=list)


def node_lost(node: NodeView | None) -> bool:
    """True when what ran there is lost."""
    return node is None or node.status in _LOST


def ran_successfully(alloc: Allocation) -> bool:
    """True when every task ended, none failed."""
    states = alloc.task_states.values()
    return bool(states) and all(state.successful for state in states)


def classify(allocs: Iterable[Allocation], nodes: dict[str, NodeView], *, batch: bool) -> Sets:
    """Sort them. Batch keeps what was stopped after it had succeeded, or forced out by a drain: it counts as done."""
    sets = Sets()
    for alloc in allocs:
        if alloc.server_terminal:
            succeeded = alloc.client_terminal and ran_successfully(alloc)
            drained = alloc.desired_transition.migrate_disable_placement
            (sets.untainted if batch and (succeeded or drained) else sets.ignored).append(alloc)
        elif alloc.client_terminal and alloc.desired_transition.migrate and _canary(alloc):
            sets.migrate.append(alloc)
        elif alloc.client_terminal:
            sets.untainted.append(alloc)
        elif node_lost(nodes.get(alloc.node_id)):
            sets.lost.append(alloc)
        elif alloc.desired_transition.migrate:
            sets.migrate.append(alloc)
        else:
            sets.untainted.append(alloc)
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
