"""Apply: nodes. Pure.

Theory: a node's epoch is the log index of the last change of its readiness or shape, so it never repeats, not
even when a node is removed and comes back. Plans carry epochs; what was planned for an older one is dropped.

Source: spec/scheduler.md 1.4.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.enums import Eligibility
from daemon.model.errors import Conflict, NotFound
from daemon.model.node import Node, NodeEvent
from daemon.model.scopes import BUILT_IN_POOLS, NodePool
from daemon.state.commands import NodeEligibility, NodeRegister, NodeStatusUpdate
from daemon.state.draft import Draft
from daemon.state.node_class import computed_class

EVENTS_KEPT = 10


def apply_node_register(draft: Draft, command: NodeRegister) -> None:
    """Create or refresh a node; its status (if known), eligibility and drain stay as they are stored."""
    stored = draft.tables.nodes.get(command.node.id)
    pool = command.node.node_pool
    if pool not in BUILT_IN_POOLS and draft.tables.node_pools.get(pool) is None:
        draft.put_node_pool(NodePool(name=pool, create_index=draft.index, modify_index=draft.index))
    # a node has no say in what is held against it.
    node = replace(
        command.node, computed_class=computed_class(command.node), quarantine=None, pardoned_at_ns=0
    )
    if stored is None:
        event = NodeEvent(message="Node registered", subsystem="Cluster", timestamp_ns=draft.time_ns)
        node = replace(
            node,
            events=(*node.events, event)[-EVENTS_KEPT:],
            status_updated_at_ns=draft.time_ns,
            epoch=draft.index,
            create_index=draft.index,
            modify_index=draft.index,
        )
        draft.put_node(node)
    else:
        node = replace(
            node,
            status=stored.status,
            status_description=stored.status_description,
            status_updated_at_ns=stored.status_updated_at_ns,
            scheduling_eligibility=stored.scheduling_eligibility,
            drain_strategy=stored.drain_strategy,
            last_drain=stored.last_drain,
            quarantine=stored.quarantine,
            pardoned_at_ns=stored.pardoned_at_ns,
            events=stored.events,
            epoch=stored.epoch,
            create_index=stored.create_index,
            modify_index=stored.modify_index,
        )
        if node != stored:
            store_node(draft, stored, node)
    for evaluation in command.evaluations:
        draft.put_eval(evaluation)


def apply_node_status(draft: Draft, command: NodeStatusUpdate) -> None:
    """Change the status of nodes; unknown ones are dropped."""
    for node_id in command.node_ids:
        stored = draft.tables.nodes.get(node_id)
        if stored is None:
            draft.drop(node_id, "there is no such node")
            continue
        node = replace(
            stored,
            status=command.status,
            status_description=command.description,
            status_updated_at_ns=draft.time_ns,
        )
        if command.event is not None:
            node = replace(node, events=(*node.events, command.event)[-EVENTS_KEPT:])
        store_node(draft, stored, node)
    for evaluation in command.evaluations:
        draft.put_eval(evaluation)


def apply_node_eligibility(draft: Draft, command: NodeEligibility) -> None:
    """Allow or forbid new work; a draining node cannot be made eligible."""
    stored = draft.tables.nodes.get(command.node_id)
    if stored is None:
        draft.changes.result = NotFound(f"there is no node {command.node_id}", node_id=command.node_id)
        return
    if stored.drain_strategy is not None and command.eligibility == Eligibility.ELIGIBLE:
        draft.changes.result = Conflict(
            f"node {command.node_id} is draining; end its drain before it is made eligible",
            node_id=command.node_id,
        )
        return
    if stored.scheduling_eligibility != command.eligibility:
        event = NodeEvent(
            message=f"Node marked as {command.eligibility} for scheduling",
            subsystem="Cluster",
            timestamp_ns=draft.time_ns,
        )
        node = replace(
            stored,
            scheduling_eligibility=command.eligibility,
            events=(*stored.events, event)[-EVENTS_KEPT:],
        )
    else:
        node = stored
    if command.eligibility == Eligibility.ELIGIBLE and stored.quarantine is not None:
        event = NodeEvent(
            message="Quarantine ended by an operator", subsystem="Quarantine", timestamp_ns=draft.time_ns
        )
        node = replace(
            node,
            quarantine=None,
            pardoned_at_ns=draft.time_ns,
            events=(*node.events, event)[-EVENTS_KEPT:],
        )
    if node is not stored:
        store_node(draft, stored, node)
    for evaluation in command.evaluations:
        draft.put_eval(evaluation)


def store_node(draft: Draft, before: Node, after: Node) -> None:
    """Write a node; its epoch moves when a placement would care."""
    epoch = draft.index if _shape(before) != _shape(after) else before.epoch
    draft.put_node(replace(after, epoch=epoch, modify_index=draft.index))


def _shape(node: Node) -> tuple[object, ...]:
    """What a placement relies on."""
    drivers = {name: (info.detected, info.healthy) for name, info in node.drivers.items()}
    return (
        node.status,
        node.drain_strategy,
        node.scheduling_eligibility,
        node.quarantined,
        node.datacenter,
        node.node_class,
        node.node_pool,
        node.attributes,
        node.meta,
        drivers,
        node.host_volumes,
        node.node_resources,
        node.reserved,
        node.node_max_allocs,
    )
