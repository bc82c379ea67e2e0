"""A bounded ring of the last changes, for the event stream. Slow readers that fall out of it must resync. Pure.

Theory: what an entry changed are whole rows, before and after; a few thousand entries with hundreds of rows each would
be gigabytes. So the ring is bounded by rows, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from daemon.model.base import Wire
from daemon.state.changes import Changes

#: entries kept; at 1,000 writes a second a reader may be four seconds late.
RING_MAX = 4096
#: changed rows kept, before and after each about 2 KB with what they refer to; the newest entry stays in any case.
ROWS_MAX = 16_384


class StreamEvent(Wire, frozen=True, kw_only=True):
    """One event of the stream (spec/nomad-surface.md B8)."""

    topic: str
    type: str
    key: str
    namespace: str = ""
    index: int = 0
    payload: dict[str, Any] = {}


class ChangeRing:
    """Keeps references to Changes; events are made only for readers."""

    def __init__(self, size: int = RING_MAX, rows: int = ROWS_MAX) -> None:
        self._ring: deque[Changes] = deque()
        self._size = size
        self._rows_max = rows
        self._rows = 0
        #: index of the newest entry that has left the ring.
        self._left = 0

    def observe(self, changes: Changes) -> None:
        """Consumer of changes."""
        if changes.reset:
            self._ring.clear()
            self._rows = self._left = 0
        elif not changes.empty:
            self._ring.append(changes)
            self._rows += _rows(changes)
            while len(self._ring) > self._size or (self._rows > self._rows_max and len(self._ring) > 1):
                oldest = self._ring.popleft()
                self._rows -= _rows(oldest)
                self._left = oldest.index

    def since(self, index: int) -> Iterator[Changes]:
        """Entries after `index`, oldest first."""
        return (changes for changes in list(self._ring) if changes.index > index)

    def lost(self, index: int) -> bool:
        """True when entries after `index` have left the ring already."""
        return 0 < index < self._left


def _rows(changes: Changes) -> int:
    """Rows that an entry keeps alive; a block's are columns."""
    return len(changes.allocs) + len(changes.evals) + len(changes.jobs) + len(changes.nodes)


def events_of(changes: Changes) -> Iterator[StreamEvent]:
    """The events of one entry."""
    for before, after in changes.jobs:
        job = after or before
        if job is not None:
            kind = "JobDeregistered" if after is None or after.stop else "JobRegistered"
            yield _event("Job", kind, job.id, job.namespace, changes.index, job)
    for before_eval, after_eval in changes.evals:
        evaluation = after_eval or before_eval
        if evaluation is not None:
            kind = "EvaluationUpdated" if after_eval is not None else "EvaluationCollected"
            yield _event("Evaluation", kind, evaluation.id, evaluation.namespace, changes.index, evaluation)
    for before_node, after_node in changes.nodes:
        node = after_node or before_node
        if node is not None:
            kind = "NodeRegistration" if before_node is None else "NodeEvent"
            clean = msgspec.structs.replace(node, secret_id="")
            yield _event(
                "Node", kind if after_node else "NodeDeregistration", node.id, "", changes.index, clean
            )
    for before_deployment, after_deployment in changes.deployments:
        rollout = after_deployment or before_deployment
        if rollout is not None:
            kind = "DeploymentStatusUpdate" if after_deployment is not None else "DeploymentCollected"
            yield _event("Deployment", kind, rollout.id, rollout.namespace, changes.index, rollout)
    for block in changes.blocks:
        for row in range(block.count):
            alloc = block.row(row)
            yield _event("Allocation", "AllocationCreated", alloc.id, alloc.namespace, changes.index, alloc)
    for before_alloc, after_alloc in changes.allocs:
        changed = after_alloc or before_alloc
        if changed is not None:
            kind = "AllocationCreated" if before_alloc is None else "AllocationUpdated"
            yield _event("Allocation", kind, changed.id, changed.namespace, changes.index, changed)


def _event(topic: str, kind: str, key: str, namespace: str, index: int, row: msgspec.Struct) -> StreamEvent:
    return StreamEvent(
        topic=topic,
        type=kind,
        key=key,
        namespace=namespace,
        index=index,
        payload={topic: msgspec.to_builtins(row, builtin_types=(bytes,))},
    )
