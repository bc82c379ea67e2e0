"""What a node's silence and its return mean: down or out of sight; ready, or not before it has spoken. Pure.

Theory: a silent node is `disconnected` as long as something on it is waited for, because its group says how long; else
it is `down`. It is looked at again after each further silence, so that it is down once nothing is waited for any more.
A disconnected node that is heard of again is `initializing` until it has said what became of everything that was
unknown; only then new work may go there.

Source: spec/scheduler.md 1.4, 9.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, NodeStatus
from daemon.model.node import Node
from daemon.scheduler.classify import lost_after_ns
from daemon.state.state import State


def status_of_silent(state: State, node: Node, now_ns: int) -> NodeStatus:
    """Down or disconnected, for a node that has been silent for too long."""
    if node.status in (NodeStatus.READY, NodeStatus.DISCONNECTED) and any(
        _waited_for(state, alloc, now_ns) for alloc in state.allocs_by_node(node.id)
    ):
        return NodeStatus.DISCONNECTED
    return NodeStatus.DOWN


def status_of_returning(node: Node, allocs: Iterable[Allocation]) -> NodeStatus:
    """What a node is that is heard of again."""
    if node.status == NodeStatus.DISCONNECTED:
        return NodeStatus.INITIALIZING
    if node.status == NodeStatus.INITIALIZING and any(_unheard(alloc) for alloc in allocs):
        return NodeStatus.INITIALIZING
    return NodeStatus.READY


def _unheard(alloc: Allocation) -> bool:
    return alloc.client_status == ClientStatus.UNKNOWN and not alloc.server_terminal


def _waited_for(state: State, alloc: Allocation, now_ns: int) -> bool:
    if alloc.terminal:
        return False
    job = state.job_version(alloc.namespace, alloc.job_id, alloc.job_version)
    group = job.group(alloc.task_group) if job is not None else None
    wait_ns = lost_after_ns(group.disconnect) if group is not None else 0
    if wait_ns <= 0:
        return False
    if alloc.client_status == ClientStatus.UNKNOWN:
        return now_ns - alloc.away_since_ns < wait_ns
    return alloc.client_status == ClientStatus.RUNNING
