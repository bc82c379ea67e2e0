"""A LogStore in memory: for `agent -dev` without a directory, and the oracle for the other stores.

Theory: it holds the same things in the same order as a store on disk; what it was given outlives `close`, as on a
disk, so that the log above can be opened again on the same object.

Source: daemon/consensus/logstore.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from daemon.consensus.logstore import StoreBroken, StoreCorrupt, checked_sequence, entry_checksum
from daemon.consensus.port import Entry, HardState, SnapshotMark

SNAPSHOTS_KEPT = 2


class MemoryStore:
    """Entries in a list."""

    where = "memory"

    def __init__(self) -> None:
        self.first_index = 1
        self.last_index = 0
        self.hard_state = HardState()
        self._entries: list[tuple[Entry, int]] = []
        self._compacted_term = 0
        self._snapshots: dict[SnapshotMark, tuple[bytes, ...]] = {}

    def open(self) -> None:
        """Check every entry."""
        for entry, checksum in self._entries:
            if entry_checksum(entry) != checksum:
                raise StoreCorrupt(f"memory: entry {entry.index} is damaged", index=entry.index)

    def term(self, index: int) -> int:
        """Term of an entry."""
        if index == self.first_index - 1:
            return self._compacted_term
        if not self.first_index <= index <= self.last_index:
            return 0
        return self._entries[index - self.first_index][0].term

    def slice(self, low: int, high: int, max_bytes: int = 1 << 62) -> list[Entry]:
        """Entries from low to high."""
        found: list[Entry] = []
        size = 0
        for index in range(max(low, self.first_index), min(high, self.last_index) + 1):
            entry = self._entries[index - self.first_index][0]
            size += len(entry.data)
            if found and size > max_bytes:
                break
            found.append(entry)
        return found

    def append(
        self, entries: Sequence[Entry], hard_state: HardState | None = None, truncate_from: int = 0
    ) -> None:
        """Keep all of it."""
        last = min(self.last_index, truncate_from - 1) if truncate_from else self.last_index
        if last < self.first_index - 1:
            raise StoreBroken(f"memory: what was compacted cannot be truncated (from {truncate_from})")
        checked_sequence(entries, last, self.where)
        if hard_state is not None:
            self.hard_state = hard_state
        del self._entries[last - self.first_index + 1 :]
        self._entries.extend((entry, entry_checksum(entry)) for entry in entries)
        self.last_index = last + len(entries)

    def compact(self, through_index: int) -> None:
        """Forget entries up to this one."""
        through = min(through_index, self.last_index)
        if through < self.first_index:
            return
        self._compacted_term = self.term(through)
        del self._entries[: through - self.first_index + 1]
        self.first_index = through + 1

    def write_snapshot(self, mark: SnapshotMark, pieces: Iterable[bytes]) -> None:
        """Keep it, and the one before."""
        self._snapshots[mark] = tuple(pieces)
        for old in self.snapshots()[SNAPSHOTS_KEPT:]:
            del self._snapshots[old]

    def snapshots(self) -> list[SnapshotMark]:
        """Newest first."""
        return sorted(self._snapshots, key=lambda mark: mark.index, reverse=True)

    def read_snapshot(self, mark: SnapshotMark) -> Iterator[bytes]:
        """Its pieces."""
        return iter(self._snapshots[mark])

    def close(self) -> None:
        """Nothing to release; what it holds stays, as on a disk."""
