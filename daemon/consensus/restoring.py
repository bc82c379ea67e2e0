"""Restoring: from a store to a state and the entries that come after it.

Theory: the newest snapshot that can be read is the start; a damaged one is passed over only when the log reaches back
to an older one, so that nothing is ever missing in between. An entry that cannot be applied stops the start:
it is never skipped, because the other servers have applied it.
Runs in the writer's thread; touches nothing but the store.

Source: architecture.md "Consensus"; spec/gossip-and-raft.md section 4 (recovery).
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from daemon.consensus.logstore import LogStore, StoreCorrupt
from daemon.consensus.port import Entry, EntryKind, SnapshotMark
from daemon.model.errors import EncampError
from daemon.state.changes import Changes
from daemon.state.commands import Noop
from daemon.state.state import State

_log = logging.getLogger("encamp.log")


class Restored(NamedTuple):
    """A state, and the entries on disk after it."""

    state: State
    mark: SnapshotMark
    entries: list[Entry]


def restore(store: LogStore, state_type: type[State]) -> Restored:
    """The newest state that the store can give.

    Raises: StoreCorrupt, with what is wrong and what to do.
    """
    state, mark, faults = _newest_snapshot(store, state_type)
    if store.first_index > mark.index + 1:
        found = (
            f"the newest usable snapshot ends at {mark.index}" if mark.index else "no snapshot can be used"
        )
        because = f" ({faults[0]})" if faults else ""
        raise StoreCorrupt(
            f"the log {store.where} begins at entry {store.first_index}, but {found}{because}: entries in "
            "between are missing. Restore the directory from a backup; or, if other "
            "servers of the cluster are alive, move it away and let this server join as a new one.",
            path=store.where,
        )
    if store.last_index < mark.index:
        raise StoreCorrupt(
            f"the log {store.where} ends at entry {store.last_index}, before its snapshot at {mark.index}: it is "
            "of an earlier time. Restore the whole directory from one backup.",
            path=store.where,
        )
    return Restored(state, mark, store.slice(mark.index + 1, store.last_index))


def apply_entry(state: State, entry: Entry, where: str) -> Changes:
    """Apply one entry as it is stored.

    Raises: StoreCorrupt, naming the entry, when it cannot be applied.
    """
    if entry.kind is not EntryKind.COMMAND:
        return state.apply(entry.index, Noop(time_ns=state.time_ns))
    try:
        return state.apply_entry(entry.index, entry.data)
    except Exception as error:
        raise StoreCorrupt(
            f"entry {entry.index} (term {entry.term}) of the log {where} cannot be applied: "
            f"{type(error).__name__}: {error}. It is not skipped, because other servers may have applied it. "
            "Start the version of encamp that wrote it, or a newer one; if that one fails too, report it "
            "with this message, and restore the directory from a backup.",
            index=entry.index,
            path=where,
        ) from error


def _newest_snapshot(
    store: LogStore, state_type: type[State]
) -> tuple[State, SnapshotMark, list[EncampError]]:
    faults: list[EncampError] = []
    for mark in store.snapshots():
        try:
            return state_type.restore(store.read_snapshot(mark)), mark, faults
        except EncampError as error:
            faults.append(error)
            _log.error(
                "snapshot at entry %d of %s cannot be used: %s; looking for an older one",
                mark.index,
                store.where,
                error,
            )
    return state_type(), SnapshotMark(index=0, term=0), faults
