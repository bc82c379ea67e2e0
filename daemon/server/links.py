"""Links to nodes: over which connection each node can be called back.

A node keeps one connection to a server and is called over it; it needs no open port. The link is bound to the
connection that proved the node's secret, never to the node's word alone.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.model.errors import Unavailable
from daemon.rpc.dispatch import Caller
from daemon.rpc.peer import Peer


class NodeLinks:
    """Node id -> connection. The agent's own node has none: it is called directly."""

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}
        self._find: Callable[[Caller], Peer | None] = lambda caller: None

    def use(self, find: Callable[[Caller], Peer | None]) -> None:
        """How to find the live connection of a caller (set once the listeners stand)."""
        self._find = find

    def attach(self, node_id: str, caller: Caller) -> None:
        """The node speaks over this connection now."""
        self._callers[node_id] = caller

    def peer(self, node_id: str) -> Peer:
        """The node's connection. Raises Unavailable when it has none at the moment."""
        caller = self._callers.get(node_id)
        peer = self._find(caller) if caller is not None else None
        if peer is None:
            raise Unavailable(
                f"node {node_id} is not connected to this server at the moment; is its agent running?",
                retry_after_s=3,
            )
        return peer
