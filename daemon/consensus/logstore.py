"""The LogStore port: entries, hard state and snapshots on something that survives a crash.

Theory: a store is synchronous and blocking; the shell calls it from one thread and never from the event loop. When
`append` returns, all it was given is durable, in one step: after a crash either all of it is there or nothing.
A store finds out by checksums when what it holds is not what it was given, and then refuses to open.
Errors say what the caller may do: `StoreFull` took nothing and may be tried again; after `StoreBroken` the store takes
nothing any more, and whether the last batch is durable is known only after a restart.

Source: spec/gossip-and-raft.md section 4; architecture.md "Consensus".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol
from zlib import crc32

from daemon.consensus.port import Entry, HardState, SnapshotMark
from daemon.model.errors import EncampError, Unavailable


class StoreFull(Unavailable):
    """No space is left; nothing of the batch was written. It may be tried again later."""


class StoreBroken(Unavailable):
    """The disk failed in a way that must not be tried again (a write or fsync error)."""


class StoreCorrupt(EncampError):
    """What is on disk is not what was written, or of a later version. The message says what to do."""

    code = "invariant"


class LogStore(Protocol):
    """Where a server's log lives. All methods block."""

    @property
    def where(self) -> str:
        """The place, for messages."""
        ...

    @property
    def first_index(self) -> int:
        """Index of the oldest entry held; `last_index + 1` when there is none."""
        ...

    @property
    def last_index(self) -> int:
        """Index of the newest entry held, or of the one that compaction removed last."""
        ...

    @property
    def hard_state(self) -> HardState:
        """As it was last written."""
        ...

    def open(self) -> None:
        """Read and check everything.

        Raises: StoreCorrupt, with instructions.
        """
        ...

    def term(self, index: int) -> int:
        """Term of an entry, also of the last one that compaction removed; 0 when it is not held."""
        ...

    def slice(self, low: int, high: int, max_bytes: int = 1 << 62) -> list[Entry]:
        """Entries from low to high, both included; at least one, then as many as fit."""
        ...

    def append(
        self, entries: Sequence[Entry], hard_state: HardState | None = None, truncate_from: int = 0
    ) -> None:
        """Make durable: the hard state, the truncation, and the entries, together.

        Raises: StoreFull, StoreBroken.
        """
        ...

    def compact(self, through_index: int) -> None:
        """Forget entries up to this one; a snapshot contains them.

        Raises: StoreFull, StoreBroken.
        """
        ...

    def write_snapshot(self, mark: SnapshotMark, pieces: Iterable[bytes]) -> None:
        """Store a snapshot durably, and keep the one before it. May run in a thread of its own.

        Raises: StoreFull, StoreBroken.
        """
        ...

    def snapshots(self) -> list[SnapshotMark]:
        """The snapshots held, newest first."""
        ...

    def read_snapshot(self, mark: SnapshotMark) -> Iterator[bytes]:
        """The pieces of one.

        Raises: StoreCorrupt.
        """
        ...

    def close(self) -> None:
        """Release everything. Without error when it is closed already."""
        ...


def entry_checksum(entry: Entry) -> int:
    """Checksum over all of an entry."""
    head = b"%d %d %d " % (entry.index, entry.term, entry.kind)
    return crc32(entry.data, crc32(head))


def checked_sequence(entries: Sequence[Entry], after: int, where: str) -> None:
    """Entries must follow each other without a gap.

    Raises: StoreBroken, because a log with a gap must never be written.
    """
    for entry in entries:
        if entry.index != after + 1:
            raise StoreBroken(f"{where}: entry {entry.index} cannot follow {after}", index=entry.index)
        after = entry.index
