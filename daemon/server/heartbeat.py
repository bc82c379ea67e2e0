"""Heartbeats: which nodes have not been heard of for too long. Pure table; the server ticks it.

Theory: one last-seen time per node. When the loop itself was late, its lateness is credited to all, so that a
server that was stopped or starved does not bury its nodes. After a start every known node gets one whole expiry
of grace.

Source: architecture.md "Liveness of nodes".
"""

from __future__ import annotations

#: seconds between two beats of a node, and of silence after which it is down.
BEAT_S = 3.0
EXPIRY_S = 10.0


class Heartbeats:
    """Last-seen times of the nodes that are not down."""

    def __init__(self, expiry_s: float = EXPIRY_S) -> None:
        self.expiry_s = expiry_s
        self._seen: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def beat(self, node_id: str, now_s: float) -> None:
        """The node gave a sign of life."""
        self._seen[node_id] = now_s

    def forget(self, node_id: str) -> None:
        """Stop watching a node: it is down or gone."""
        self._seen.pop(node_id, None)

    def credit(self, late_s: float) -> None:
        """Give all nodes the time by which this process was late."""
        if late_s > 0:
            self._seen = {node: at + late_s for node, at in self._seen.items()}

    def expired(self, now_s: float) -> list[str]:
        """Nodes silent for longer than the expiry, in the order of their ids; they are no longer watched."""
        gone = sorted(node for node, at in self._seen.items() if now_s - at > self.expiry_s)
        for node in gone:
            del self._seen[node]
        return gone
