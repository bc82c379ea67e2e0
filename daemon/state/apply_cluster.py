"""Apply: the birth of the cluster. Pure.

Source: architecture.md "Consensus" (cluster id).
"""

from __future__ import annotations

from daemon.model.errors import Conflict
from daemon.state.commands import ClusterInit
from daemon.state.draft import Draft


def apply_cluster_init(draft: Draft, command: ClusterInit) -> None:
    """Name the cluster, once."""
    known = draft.tables.cluster_id
    if not known:
        draft.set_cluster_id(command.cluster_id)
    elif known != command.cluster_id:
        draft.changes.result = Conflict(
            f"the cluster is {known}, and cannot become {command.cluster_id}", cluster_id=known
        )
