"""AllocTable: all allocations, most of them as columns, with indexes by id, node, job and evaluation.

Theory: a block of n fresh placements costs a few numpy operations, never n Python objects: its ids and nodes go
into two `Runs`, its number into the lists of its job and evaluation. A row is made when it is read, and stored
on its own when it first changes. Indexes are rebuilt from blocks and rows, never part of a snapshot.
Non-goals: rules about who may change what; those are in the apply_* modules.
Pure.

Source: architecture.md "State"; performance.md (52 MB per million allocations).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from daemon.model.alloc import Allocation, AllocBlock
from daemon.state.alloc_rows import (
    CHANGED,
    COLLECTED,
    NO_SLOT,
    ROW_BITS,
    ROW_MASK,
    Packed,
    Patch,
    Row,
    StoredBlock,
    pack,
    patched,
    unpacked,
)
from daemon.state.newest import RowOrder
from daemon.state.node_codes import NodeCodes
from daemon.state.runs import Runs
from daemon.state.table import ID_SHARDS, Table, id_shard, number_shard, prefix_shard
from daemon.state.task_packing import unpack_states

JobKey = tuple[str, str]
_KNOWN_MAX = 16_384


class JobAllocs:
    """Where a job's allocations are, and counts that its status and versions need."""

    __slots__ = ("blocks", "live", "rows", "versions")

    def __init__(self) -> None:
        self.blocks: list[int] = []
        #: ids of allocations that never were in a block.
        self.rows: dict[str, None] = {}
        #: allocations that are not terminal.
        self.live = 0
        #: job version -> allocations that refer to it.
        self.versions: dict[int, int] = {}

    def count(self, version: int, change: int, live: int) -> None:
        """Adjust the counts."""
        self.live += live
        if change:
            total = self.versions.get(version, 0) + change
            if total:
                self.versions[version] = total
            else:
                self.versions.pop(version, None)


class AllocTable:
    """Allocations by id, node, job and evaluation."""

    def __init__(self, codes: NodeCodes) -> None:
        self.codes = codes
        self.blocks: Table[int, StoredBlock] = Table(64, number_shard)
        self.rows: Table[str, Row] = Table(ID_SHARDS, id_shard)
        self.next_block = 0
        self.count = 0
        self._by_id = Runs(np.uint64)
        self._by_node = Runs(np.uint32)
        self._jobs: dict[JobKey, JobAllocs] = {}
        self._eval_blocks: dict[str, list[int]] = {}
        self._eval_rows: dict[str, dict[str, None]] = {}
        self._node_rows: dict[str, dict[str, None]] = {}
        self._dead_slots = 0
        self.row_order = RowOrder()
        #: slots found ahead of a command that touches many, or read last; each is checked when it is used.
        self._known: dict[str, int] = {}

    # reading -------------------------------------------------------------------------------------------

    def get(self, alloc_id: str) -> Allocation | None:
        """The allocation, or None."""
        row = self.rows.get(alloc_id)
        if row is not None:
            return self._read(row)
        slot = self._locate(alloc_id)
        return None if slot == NO_SLOT else self._from_block(slot)

    def __contains__(self, alloc_id: str) -> bool:
        return alloc_id in self.rows or self._locate(alloc_id) != NO_SLOT

    def all(self) -> Iterator[Allocation]:
        """Every allocation, made as it is read. The table must not change meanwhile."""
        for entry in self.blocks.values():
            yield from self._of_block(entry)
        for row in self.rows.values():
            if row.slot == NO_SLOT:
                yield self._read(row)

    def by_job(self, key: JobKey) -> Iterator[Allocation]:
        """A job's allocations: blocks in the order of placement, then the others by id."""
        found = self._jobs.get(key)
        if found is not None:
            yield from self._of(found.blocks, found.rows)

    def by_eval(self, eval_id: str) -> Iterator[Allocation]:
        """Allocations that an evaluation placed."""
        yield from self._of(self._eval_blocks.get(eval_id, ()), self._eval_rows.get(eval_id, {}))

    def blocks_of_eval(self, eval_id: str) -> list[StoredBlock]:
        """Blocks that an evaluation placed, as far as they are still there."""
        numbers = self._eval_blocks.get(eval_id, ())
        return [entry for entry in map(self.blocks.get, numbers) if entry is not None]

    def by_node(self, node_id: str) -> Iterator[Allocation]:
        """A node's allocations: by slot, then the others by id."""
        for slot in self._node_slots(node_id):
            alloc = self._from_slot(slot)
            if alloc is not None:
                yield alloc
        yield from self._of((), self._node_rows.get(node_id, {}))

    def node_versions(self, node_id: str) -> dict[str, int]:
        """Allocation id -> alloc_modify_index, without making the rows."""
        found: dict[str, int] = {}
        for slot in self._node_slots(node_id):
            entry = self.blocks.get(slot >> ROW_BITS)
            if entry is None:
                continue
            mark = entry.state_of(slot & ROW_MASK)
            if mark != COLLECTED:
                alloc_id = entry.facts.alloc_id(slot & ROW_MASK)
                row = self.rows.get(alloc_id) if mark == CHANGED else None
                if row is None or isinstance(row, Patch):
                    found[alloc_id] = entry.facts.create_index
                else:
                    found[alloc_id] = row.alloc.alloc_modify_index
        for alloc_id in sorted(self._node_rows.get(node_id, {})):
            row = self.rows.get(alloc_id)
            if row is not None and not isinstance(row, Patch):
                found[alloc_id] = row.alloc.alloc_modify_index
        return found

    def job_counts(self, key: JobKey) -> JobAllocs | None:
        """Live count and versions in use of a job."""
        return self._jobs.get(key)

    def with_prefix(self, prefix: str) -> list[str]:
        """Ids that begin with the prefix, sorted."""
        found: set[str] = set()
        shard = prefix_shard(prefix)
        for rows in self.rows.shards if shard is None else (self.rows.shards[shard],):
            found.update(alloc_id for alloc_id in rows if alloc_id.startswith(prefix))
        digits = prefix.replace("-", "")[:16]
        if all(char in "0123456789abcdef" for char in digits):
            low = int(digits.ljust(16, "0"), 16)
            high = int(digits.ljust(16, "f"), 16)
            for slot in self._by_id.between(low, high):
                entry = self.blocks.get(slot >> ROW_BITS)
                if entry is not None and entry.state_of(slot & ROW_MASK) != COLLECTED:
                    alloc_id = entry.facts.alloc_id(slot & ROW_MASK)
                    if alloc_id.startswith(prefix):
                        found.add(alloc_id)
        return sorted(found)

    def expect(self, ids: list[str]) -> None:
        """Many allocations are about to be read or changed: find them all at once."""
        texts = [text for text in ids if len(text) == 36]
        try:
            raw = bytes.fromhex("".join(text[:8] + text[9:13] + text[14:18] for text in texts))
        except ValueError:
            return
        if len(raw) == 8 * len(texts):
            slots = self._by_id.find_many(np.frombuffer(raw, dtype=">u8").astype(np.uint64)).tolist()
            self._known = {text: slot for text, slot in zip(texts, slots, strict=True) if slot != NO_SLOT}

    # writing -------------------------------------------------------------------------------------------

    def add_block(self, block: AllocBlock, codes: bytes) -> None:
        """Store fresh placements. `codes`: one uint32 per node of the block."""
        ports = tuple(
            replace(column, host_ips=column.host_ips[:1]) if len(set(column.host_ips)) == 1 else column
            for column in block.ports
        )
        facts = replace(block, nodes=(), node_names=(), node_epochs=(), ports=ports)
        self._index_block(StoredBlock(number=self.next_block, facts=facts, codes=codes))
        self.next_block += 1

    def add_row(self, alloc: Allocation) -> None:
        """Store one placement as a row."""
        self._index_row(pack(NO_SLOT, None, alloc))

    def change(self, before: Allocation, after: Allocation) -> None:
        """Replace an allocation; `before` is what is stored. Its id, job and node stay the same."""
        row = self.rows.get(after.id)
        slot = row.slot if row is not None else self._locate(after.id)
        if row is None:
            self._mark(slot, CHANGED)
        # while nothing but the node's word has changed, the servers' part of `before` is the block's.
        base = None if isinstance(row, Packed) else before
        self.rows.put(after.id, pack(slot, base, after))
        counts = self._counts(after)
        live = int(not after.terminal) - int(not before.terminal)
        if before.job_version == after.job_version:
            counts.count(after.job_version, 0, live)
        else:
            counts.count(before.job_version, -1, live)
            counts.count(after.job_version, 1, 0)

    def remove(self, alloc: Allocation) -> None:
        """Forget an allocation."""
        row = self.rows.pop(alloc.id)
        slot = row.slot if row is not None else self._locate(alloc.id)
        key = (alloc.namespace, alloc.job_id)
        counts = self._jobs[key]
        counts.count(alloc.job_version, -1, -int(not alloc.terminal))
        self.count -= 1
        if slot != NO_SLOT:
            self._mark(slot, COLLECTED)
            self._dead_slots += 1
        else:
            del counts.rows[alloc.id]
            self.row_order.discard(alloc)
            _discard(self._eval_rows, alloc.eval_id, alloc.id)
            _discard(self._node_rows, alloc.node_id, alloc.id)
        if not counts.blocks and not counts.rows:
            del self._jobs[key]

    def tidy(self) -> None:
        """Drop dead slots from the indexes, a bounded piece a call."""
        if self._dead_slots * 4 > len(self._by_id):
            size = len(self._by_id)
            self._by_id.prune(self.blocks.__contains__, ROW_BITS)
            self._by_node.prune(self.blocks.__contains__, ROW_BITS)
            self._dead_slots -= min(self._dead_slots, size - len(self._by_id))

    # restoring -----------------------------------------------------------------------------------------

    def load(self, blocks: list[StoredBlock], rows: list[Row]) -> None:
        """Fill an empty table from a snapshot."""
        for entry in sorted(blocks, key=lambda entry: entry.number):
            self._index_block(entry)
        for row in rows:
            self._index_row(row)

    # inside --------------------------------------------------------------------------------------------

    def _index_block(self, entry: StoredBlock) -> None:
        facts, number = entry.facts, entry.number
        self.blocks.put(number, entry)
        slots = np.arange(number << ROW_BITS, (number << ROW_BITS) + facts.count, dtype=np.int64)
        prefixes = np.frombuffer(facts.ids, dtype=">u8")[::2].astype(np.uint64)
        node_rows = np.frombuffer(facts.node_rows, dtype="<u4")
        self._by_id.add(prefixes, slots)
        self._by_node.add(np.frombuffer(entry.codes, dtype="<u4")[node_rows].astype(np.uint32), slots)
        counts = self._job(facts.namespace, facts.job_id)
        counts.blocks.append(number)
        as_placed = entry.mask.count(0) if entry.mask else facts.count
        counts.count(facts.job_version, as_placed, as_placed)
        self._eval_blocks.setdefault(facts.eval_id, []).append(number)
        self.count += as_placed

    def _index_row(self, row: Row) -> None:
        alloc = self._read(row)
        self.rows.put(alloc.id, row)
        self._counts(alloc).count(alloc.job_version, 1, int(not alloc.terminal))
        self.count += 1
        if row.slot == NO_SLOT:
            self._counts(alloc).rows[alloc.id] = None
            self.row_order.add(alloc)
            self._eval_rows.setdefault(alloc.eval_id, {})[alloc.id] = None
            self._node_rows.setdefault(alloc.node_id, {})[alloc.id] = None

    def _job(self, namespace: str, job_id: str) -> JobAllocs:
        key = (namespace, job_id)
        found = self._jobs.get(key)
        if found is None:
            found = self._jobs[key] = JobAllocs()
        return found

    def _counts(self, alloc: Allocation) -> JobAllocs:
        return self._job(alloc.namespace, alloc.job_id)

    def _locate(self, alloc_id: str) -> int:
        """Slot of an allocation that a block holds, or NO_SLOT."""
        known = self._known.get(alloc_id)
        if known is not None and self._is_at(known, alloc_id):
            return known
        if len(alloc_id) != 36:
            return NO_SLOT
        try:
            prefix = int(alloc_id[:8] + alloc_id[9:13] + alloc_id[14:18], 16)
        except ValueError:
            return NO_SLOT
        for slot in self._by_id.find(prefix):
            if self._is_at(slot, alloc_id):
                if len(self._known) >= _KNOWN_MAX:
                    self._known = {}
                self._known[alloc_id] = slot
                return slot
        return NO_SLOT

    def _is_at(self, slot: int, alloc_id: str) -> bool:
        entry, row = self.blocks.get(slot >> ROW_BITS), slot & ROW_MASK
        return (
            entry is not None and entry.facts.alloc_id(row) == alloc_id and entry.state_of(row) != COLLECTED
        )

    def _mark(self, slot: int, mark: int) -> None:
        entry = self.blocks.get(slot >> ROW_BITS)
        if entry is None:
            return
        entry = entry.marked(slot & ROW_MASK, mark)
        if entry.collected < entry.facts.count:
            self.blocks.put(entry.number, entry)
            return
        self.blocks.pop(entry.number)
        self._jobs[(entry.facts.namespace, entry.facts.job_id)].blocks.remove(entry.number)
        numbers = self._eval_blocks[entry.facts.eval_id]
        numbers.remove(entry.number)
        if not numbers:
            del self._eval_blocks[entry.facts.eval_id]

    def _node_slots(self, node_id: str) -> list[int]:
        return sorted(slot for code in self.codes.of_node(node_id) for slot in self._by_node.find(code))

    def _from_block(self, slot: int) -> Allocation:
        entry = self.blocks.get(slot >> ROW_BITS)
        assert entry is not None, f"no block {slot >> ROW_BITS}"
        return self._as_placed(entry, slot & ROW_MASK)

    def _as_placed(self, entry: StoredBlock, row: int) -> Allocation:
        code = entry.code(row)
        return entry.facts.row_on(row, self.codes.ids[code], self.codes.names[code])

    def _from_slot(self, slot: int) -> Allocation | None:
        entry = self.blocks.get(slot >> ROW_BITS)
        return None if entry is None else self.row_of(entry, slot & ROW_MASK)

    def row_of(self, entry: StoredBlock, number: int) -> Allocation | None:
        """A row of a block as it is now; None when it was collected."""
        mark = entry.state_of(number)
        if mark == COLLECTED:
            return None
        if mark == CHANGED:
            row = self.rows.get(entry.facts.alloc_id(number))
            assert row is not None, f"row {number} of block {entry.number} is missing"
            return self._read(row)
        return self._as_placed(entry, number)

    def _of_block(self, entry: StoredBlock) -> Iterator[Allocation]:
        for number in range(entry.facts.count):
            alloc = self.row_of(entry, number)
            if alloc is not None:
                yield alloc

    def _of(self, blocks: list[int] | tuple[int, ...], rows: dict[str, None]) -> Iterator[Allocation]:
        for number in blocks:
            entry = self.blocks.get(number)
            if entry is not None:
                yield from self._of_block(entry)
        for alloc_id in sorted(rows):
            row = self.rows.get(alloc_id)
            if row is not None:
                yield self._read(row)

    def _read(self, row: Row) -> Allocation:
        if isinstance(row, Patch):
            return patched(self._from_block(row.slot), row, unpack_states(row.task_states))
        return unpacked(row)


def _discard(index: dict[str, dict[str, None]], key: str, alloc_id: str) -> None:
    ids = index.get(key)
    if ids is not None:
        ids.pop(alloc_id, None)
        if not ids:
            del index[key]
