"""Apply: marks on nodes where the work of several jobs failed. Pure.

Theory: a mark changes no status. With effect it takes the node out of the fleet for new work, as its epoch says; what
runs there goes on. The leader decides (daemon/server/quarantines.py); an operator's word that came in between wins.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.node import Node, NodeEvent, NodeQuarantine
from daemon.state.apply_nodes import EVENTS_KEPT, store_node
from daemon.state.commands import NodesQuarantine
from daemon.state.draft import Draft


def apply_quarantine(draft: Draft, command: NodesQuarantine) -> None:
    """Set and end marks; a node that is gone or pardoned meanwhile is left alone."""
    for node_id, mark in command.marks.items():
        stored = draft.tables.nodes.get(node_id)
        if stored is None:
            draft.drop(node_id, "there is no such node")
        elif mark is not None and command.time_ns <= stored.pardoned_at_ns:
            draft.drop(node_id, "an operator has ended its quarantine")
        elif mark is not None or stored.quarantine is not None:
            store_node(draft, stored, _marked(draft, stored, mark))
    for evaluation in command.evaluations:
        draft.put_eval(evaluation)


def _marked(draft: Draft, stored: Node, mark: NodeQuarantine | None) -> Node:
    before = stored.quarantine
    if mark is None:
        words = "Quarantine ended" if stored.quarantined else "No quarantine is due any more"
        details = {}
    else:
        mark = replace(mark, since_ns=before.since_ns if before is not None else draft.time_ns)
        held = f" ({mark.held_back})" if mark.held_back else ""
        words = f"{'Would be quarantined' if held else 'Quarantined'}: {mark.reason}{held}"
        details = {"reason": mark.reason, "held_back": mark.held_back}
    event = NodeEvent(message=words, subsystem="Quarantine", timestamp_ns=draft.time_ns, details=details)
    return replace(stored, quarantine=mark, events=(*stored.events, event)[-EVENTS_KEPT:])
