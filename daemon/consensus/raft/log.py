"""RaftLog: the part of the log that is in memory, and how much of it the disk has.

Theory: entries are appended in memory first and given to the disk by `take_unwritten`. A write that is under way may
be outrun by a truncation: then its completion must not count for the entries that it no longer stands for, not even
when an equal (index, term) has come back meanwhile. So each write remembers up to where it still holds.
What was given out and could not be written (the disk is full) stays in memory and is offered again.
Non-goals: entries older than the last compaction: a server that needs them gets a snapshot. The shell decides how
much is kept, by `compact`.
Pure.

Source: spec/gossip-and-raft.md 3.4 (persisted, ABA); Raft paper 5.3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from daemon.consensus.port import Entry, SnapshotMark
from daemon.model.errors import check

#: what `term` says of an entry that is not held.
UNKNOWN = -1


class _Write:
    """One batch on its way to the disk."""

    __slots__ = ("first", "index", "is_snapshot", "term", "through", "truncate_from")

    def __init__(self, first: int, index: int, term: int, truncate_from: int, is_snapshot: bool) -> None:
        self.first = first
        self.index = index
        self.term = term
        #: the last of its entries that is still the log's.
        self.through = index
        self.truncate_from = truncate_from
        self.is_snapshot = is_snapshot


class RaftLog:
    """Entries after a mark. Indexes have no gaps; terms never go back."""

    def __init__(self, mark: SnapshotMark, entries: Iterable[Entry]) -> None:
        """`entries`: what is on disk after the mark."""
        self.mark_index = mark.index
        self.mark_term = mark.term
        self._entries = list(entries)
        self.last_index = mark.index
        self.last_term = mark.term
        for entry in self._entries:
            check(
                entry.index == self.last_index + 1 and entry.term >= self.last_term,
                "the log on disk has no gaps and its terms never go back",
                index=entry.index,
                term=entry.term,
                after=self.last_index,
                after_term=self.last_term,
            )
            self.last_index, self.last_term = entry.index, entry.term
        #: durable up to here.
        self.persisted_index = self.last_index
        self._given_index = self.last_index
        self._truncate_from = 0
        self._writes: deque[_Write] = deque()

    def term(self, index: int) -> int:
        """Term of an entry; `UNKNOWN` when it is not held."""
        offset = index - self.mark_index
        if offset == 0:
            return self.mark_term
        if offset < 0 or index > self.last_index:
            return UNKNOWN
        return self._entries[offset - 1].term

    def slice(self, low: int, high: int, bytes_max: int, entries_max: int) -> tuple[Entry, ...]:
        """Entries from low to high, both included; at least one, then as many as fit."""
        low = max(low, self.mark_index + 1)
        high = min(high, self.last_index, low + entries_max - 1)
        start = low - self.mark_index - 1
        found = self._entries[start : high - self.mark_index]
        size = 0
        for count, entry in enumerate(found):
            size += len(entry.data)
            if size > bytes_max and count:
                return tuple(found[:count])
        return tuple(found)

    def bytes_after(self, index: int) -> int:
        """How much data follows an entry."""
        return sum(len(entry.data) for entry in self._entries[max(0, index - self.mark_index) :])

    def append(self, entries: Sequence[Entry]) -> None:
        """Put entries at the end."""
        if entries:
            check(entries[0].index == self.last_index + 1, "no gap in the log", index=entries[0].index)
            self._entries.extend(entries)
            self.last_index, self.last_term = entries[-1].index, entries[-1].term

    def truncate(self, index: int) -> None:
        """Forget the entries from here on."""
        check(index > self.mark_index, "what a snapshot holds is not truncated", index=index)
        if index > self.last_index:
            return
        del self._entries[index - self.mark_index - 1 :]
        self.last_index = index - 1
        self.last_term = self._entries[-1].term if self._entries else self.mark_term
        if index <= self._given_index:
            self._truncate_from = min(self._truncate_from or index, index)
            self._given_index = index - 1
        self.persisted_index = min(self.persisted_index, index - 1)
        for write in self._writes:
            write.through = min(write.through, index - 1)

    def compact(self, index: int) -> None:
        """Forget the entries up to here, which a snapshot holds."""
        if index <= self.mark_index:
            return
        check(index <= self.persisted_index, "only what is on disk is compacted", index=index)
        term = self.term(index)
        del self._entries[: index - self.mark_index]
        self.mark_index, self.mark_term = index, term

    def reset(self, mark: SnapshotMark) -> None:
        """A snapshot takes the place of everything; its writing is a write like others."""
        self._entries.clear()
        self.mark_index = self.last_index = self._given_index = mark.index
        self.mark_term = self.last_term = mark.term
        self.persisted_index = 0
        self._truncate_from = 0
        for write in self._writes:
            write.through = 0
        self._writes.append(_Write(mark.index, mark.index, mark.term, 0, True))

    def take_unwritten(self) -> tuple[int, tuple[Entry, ...]]:
        """What the disk has to do: truncate from here (0: not), then append these."""
        truncate_from, self._truncate_from = self._truncate_from, 0
        if self._given_index == self.last_index:
            return truncate_from, ()
        entries = tuple(self._entries[self._given_index - self.mark_index :])
        self._given_index = self.last_index
        self._writes.append(_Write(entries[0].index, self.last_index, self.last_term, truncate_from, False))
        return truncate_from, entries

    def persisted(self, index: int, term: int) -> bool:
        """The write that ended with this entry is durable, and with it all before. False: no such write."""
        for count, write in enumerate(self._writes, 1):
            if write.index == index and write.term == term:
                for _ in range(count):
                    self._writes.popleft()
                self.persisted_index = max(self.persisted_index, write.through)
                return True
        return False

    def not_persisted(self, index: int) -> bool:
        """The disk took nothing from here on, nor any write given out since; offer it again.

        False when a snapshot was among it.
        """
        first = index
        for write in self._writes:
            if write.is_snapshot:
                return False
            first = min(first, write.first)
            if write.truncate_from:
                self._truncate_from = min(write.truncate_from, self._truncate_from or write.truncate_from)
        self._writes.clear()
        self._given_index = min(self._given_index, first - 1)
        return True
