"""Allocations by age, the newest first, page by page, without making those that no page shows. Pure.

Theory: blocks and rows are visited by the index of the entry that created them, from the newest. Within one entry the
order is that of names and ids, which a block's columns tell without making its rows. So a page costs what it shows, and
a look at each block, however many allocations there are.

Source: users/wants.md 6; daemon/server/endpoints/allocs.py.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from daemon.model.alloc import Allocation
from daemon.state.alloc_rows import COLLECTED, Packed, StoredBlock

if TYPE_CHECKING:
    from daemon.state.alloc_table import AllocTable

#: (namespace, job id) -> whether its allocations are wanted.
Wanted = Callable[[str, str], bool]


class Found(NamedTuple):
    """One allocation in the order of age, not made yet."""

    create_index: int
    name: str
    id: str
    make: Callable[[], Allocation | None]

    @property
    def key(self) -> str:
        """Sorts as the list does."""
        return f"{2**62 - self.create_index:019d}.{self.name}.{self.id}"


def index_of_key(key: str) -> int:
    """The create_index in a key; the largest of all for what is none."""
    digits = key.partition(".")[0]
    return 2**62 - int(digits) if digits.isdecimal() else 2**62


class RowOrder:
    """Ids of allocations that never were in a block, by create_index."""

    __slots__ = ("_ids", "_indexes")

    def __init__(self) -> None:
        self._ids: dict[int, dict[str, None]] = {}
        #: ascending; entries come in order, but for a restore.
        self._indexes: list[int] = []

    def add(self, alloc: Allocation) -> None:
        """Insert."""
        ids = self._ids.get(alloc.create_index)
        if ids is None:
            ids = self._ids[alloc.create_index] = {}
            if not self._indexes or alloc.create_index > self._indexes[-1]:
                self._indexes.append(alloc.create_index)
            else:
                insort(self._indexes, alloc.create_index)
        ids[alloc.id] = None

    def discard(self, alloc: Allocation) -> None:
        """Remove."""
        ids = self._ids.get(alloc.create_index)
        if ids is not None:
            ids.pop(alloc.id, None)
            if not ids:
                del self._ids[alloc.create_index]
                del self._indexes[bisect_left(self._indexes, alloc.create_index)]

    def down_from(self, start: int) -> list[int]:
        """Indexes up to `start`, descending."""
        return self._indexes[: bisect_left(self._indexes, start + 1)][::-1]

    def ids(self, create_index: int) -> list[str]:
        """What one entry created."""
        return list(self._ids.get(create_index, ()))


def newest(table: AllocTable, start: int, wanted: Wanted) -> Iterator[Found]:
    """All from create_index `start` on down. The table must not change meanwhile."""
    entries: dict[int, list[StoredBlock]] = {}
    for entry in table.blocks.values():
        facts = entry.facts
        if facts.create_index <= start and wanted(facts.namespace, facts.job_id):
            entries.setdefault(facts.create_index, []).append(entry)
    for create_index in sorted({*entries, *table.row_order.down_from(start)}, reverse=True):
        found = [row for entry in entries.get(create_index, ()) for row in _of_block(table, entry)]
        for alloc_id in table.row_order.ids(create_index):
            row = table.rows.get(alloc_id)
            if isinstance(row, Packed) and wanted(row.alloc.namespace, row.alloc.job_id):
                found.append(Found(create_index, row.alloc.name, alloc_id, partial(table.get, alloc_id)))
        found.sort(key=lambda each: each.key)
        yield from found


def _of_block(table: AllocTable, entry: StoredBlock) -> Iterator[Found]:
    facts = entry.facts
    head = f"{facts.job_id}.{facts.task_group}["
    indexes = memoryview(facts.indexes).cast("I")
    for number in range(facts.count):
        if entry.state_of(number) != COLLECTED:
            make = partial(table.row_of, entry, number)
            yield Found(facts.create_index, f"{head}{indexes[number]}]", facts.alloc_id(number), make)
