"""Which nodes have news: per node the index of the last change of its allocations by the servers.

Theory: a node waits for its own index only, so that a plan for one rack does not wake all others. The node's own
reports do not count, or each would wake itself.
"""

from __future__ import annotations

from daemon.aio.signal import Signal
from daemon.model.alloc import Allocation
from daemon.state.changes import Changes


class NodeWatch:
    """Consumer of changes; blocking queries of nodes wait on it."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._signals: dict[str, Signal] = {}
        #: what nodes without an entry are at: the index of the last reset.
        self._floor = 1

    def observe(self, changes: Changes) -> None:
        """Note the nodes that an entry gives news to."""
        if changes.reset:
            self._index.clear()
            self._floor = max(1, changes.index)
            for signal in self._signals.values():
                signal.raise_to(changes.index)
            return
        for block in changes.blocks:
            for node_id in block.nodes:
                self._touch(node_id, changes.index)
        for before, after in changes.allocs:
            node_id = _concerned(before, after)
            if node_id:
                self._touch(node_id, changes.index)

    def _touch(self, node_id: str, index: int) -> None:
        self._index[node_id] = index
        signal = self._signals.get(node_id)
        if signal is not None:
            signal.raise_to(index)

    def index(self, node_id: str) -> int:
        """Index of the last news for the node."""
        return self._index.get(node_id, self._floor)

    async def wait_past(self, node_id: str, index: int, timeout_s: float) -> bool:
        """Wait for news after `index`. False when the time is up."""
        if self.index(node_id) > index:
            return True
        signal = self._signals.setdefault(node_id, Signal())
        signal.raise_to(self.index(node_id))
        return await signal.wait_past(index, timeout_s)

    def forget(self, node_id: str) -> None:
        """The node is gone from the state."""
        self._signals.pop(node_id, None)
        self._index.pop(node_id, None)


def _concerned(before: Allocation | None, after: Allocation | None) -> str:
    """The node that has to know of this change; "" when none does."""
    known = after or before
    if known is None:
        return ""
    if before is not None and after is not None and before.alloc_modify_index == after.alloc_modify_index:
        return ""
    return known.node_id
