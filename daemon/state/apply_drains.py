"""Apply: drains of nodes. Pure.

Theory: a drain makes its node ineligible, and its end leaves it so unless told otherwise. The forced deadline is
counted by the entry's time, anew with every change of the drain. Who moves what is the drainer's matter.

Source: spec/scheduler.md 9.2.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.enums import Eligibility
from daemon.model.errors import Conflict, NotFound
from daemon.model.node import DrainMetadata, DrainStrategy, Node, NodeEvent
from daemon.state.apply_nodes import EVENTS_KEPT, store_node
from daemon.state.commands import DrainsComplete, NodeDrain
from daemon.state.draft import Draft

DRAINING, COMPLETE, CANCELED = "draining", "complete", "canceled"


def apply_node_drain(draft: Draft, command: NodeDrain) -> None:
    """Begin, change or end a drain as an operator asks."""
    stored = draft.tables.nodes.get(command.node_id)
    if stored is None:
        draft.changes.result = NotFound(f"there is no node {command.node_id}", node_id=command.node_id)
        return
    if command.drain is None:
        if stored.drain_strategy is None and not command.mark_eligible:
            draft.changes.result = Conflict(
                f"node {command.node_id} is not draining: there is no drain to end", node_id=command.node_id
            )
            return
        node = _ended(draft, stored, CANCELED, "Node drain canceled", command.meta)
        if command.mark_eligible:
            node = replace(node, scheduling_eligibility=Eligibility.ELIGIBLE)
    else:
        node = _begun(draft, stored, command.drain, command.meta)
    store_node(draft, stored, node)
    for evaluation in command.evaluations:
        draft.put_eval(evaluation)


def apply_drains_complete(draft: Draft, command: DrainsComplete) -> None:
    """End the drains that are still the ones meant; their nodes stay ineligible."""
    for node_id, started_at_ns in command.drains.items():
        stored = draft.tables.nodes.get(node_id)
        if stored is None or stored.drain_strategy is None:
            draft.drop(node_id, "the node is not draining (any more)")
        elif stored.drain_strategy.started_at_ns != started_at_ns:
            draft.drop(node_id, "the node is in another drain by now")
        else:
            store_node(draft, stored, _ended(draft, stored, COMPLETE, "Node drain complete", {}))


def _begun(draft: Draft, stored: Node, asked: DrainStrategy, meta: dict[str, str]) -> Node:
    running = stored.drain_strategy
    started = running.started_at_ns if running is not None else draft.time_ns
    last = stored.last_drain if running is not None else None
    drain = DrainStrategy(
        deadline_ns=asked.deadline_ns,
        ignore_system_jobs=asked.ignore_system_jobs,
        started_at_ns=started,
        force_deadline_ns=draft.time_ns + asked.deadline_ns if asked.deadline_ns > 0 else 0,
    )
    return replace(
        stored,
        drain_strategy=drain,
        scheduling_eligibility=Eligibility.INELIGIBLE,
        last_drain=DrainMetadata(
            started_at_ns=started,
            updated_at_ns=draft.time_ns,
            status=DRAINING,
            meta=meta or (last.meta if last is not None else {}),
        ),
        events=_events(draft, stored, "Node drain strategy set" if running is None else "Node drain updated"),
    )


def _ended(draft: Draft, stored: Node, status: str, words: str, meta: dict[str, str]) -> Node:
    """The node without its drain; one that was not draining is only given its event."""
    if stored.drain_strategy is None:
        return replace(stored, events=_events(draft, stored, "Node marked as eligible for scheduling"))
    last = stored.last_drain
    return replace(
        stored,
        drain_strategy=None,
        last_drain=DrainMetadata(
            started_at_ns=stored.drain_strategy.started_at_ns,
            updated_at_ns=draft.time_ns,
            status=status,
            meta=meta or (last.meta if last is not None else {}),
        ),
        events=_events(draft, stored, words),
    )


def _events(draft: Draft, stored: Node, words: str) -> tuple[NodeEvent, ...]:
    event = NodeEvent(message=words, subsystem="Drain", timestamp_ns=draft.time_ns)
    return (*stored.events, event)[-EVENTS_KEPT:]
