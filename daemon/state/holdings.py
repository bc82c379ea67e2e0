"""What holds room on nodes, for who counts it anew: blocks as far as possible, the rest row by row. Pure.

Theory: a million allocations are a few thousand blocks. Most of their rows have changed on their own by the node's word
only; as long as that is not the end, they hold what the block says. So one pass over the changed rows finds the few
that differ, and a block without these is handed out as columns.

Source: architecture.md "Fleet".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from daemon.model.alloc import Allocation, AllocBlock
from daemon.model.enums import CLIENT_TERMINAL, ClientStatus
from daemon.state.alloc_rows import COLLECTED, NO_SLOT, ROW_BITS, ROW_MASK, Patch, Row, StoredBlock
from daemon.state.block_columns import only_rows

if TYPE_CHECKING:
    from daemon.state.alloc_table import AllocTable


def holdings(table: AllocTable) -> tuple[Iterator[AllocBlock], Iterator[Allocation]]:
    """(blocks of rows that hold what they were given, allocations that stand on their own)."""
    apart: dict[int, list[int]] = {}
    alone: list[str] = []
    for alloc_id, row in _rows(table):
        if isinstance(row, Patch):
            if row.client_status in CLIENT_TERMINAL:
                apart.setdefault(row.slot >> ROW_BITS, []).append(row.slot & ROW_MASK)
            continue
        if row.slot != NO_SLOT:
            apart.setdefault(row.slot >> ROW_BITS, []).append(row.slot & ROW_MASK)
        alone.append(alloc_id)
    blocks = (_block(table, entry, apart.get(entry.number, [])) for entry in table.blocks.values())
    singles = (table.get(alloc_id) for alloc_id in alone)
    return (block for block in blocks if block.count), (alloc for alloc in singles if alloc is not None)


def failed_since(table: AllocTable, time_ns: int) -> Iterator[Allocation]:
    """Failed allocations that changed after that time; one pass over the changed rows, which makes no others."""
    found = []
    for alloc_id, row in _rows(table):
        facts = row if isinstance(row, Patch) else row.alloc
        if facts.client_status == ClientStatus.FAILED and facts.modify_time_ns > time_ns:
            found.append(alloc_id)
    return (alloc for alloc in map(table.get, sorted(found)) if alloc is not None)


def _rows(table: AllocTable) -> Iterator[tuple[str, Row]]:
    for shard in table.rows.shards:
        yield from shard.items()


def _block(table: AllocTable, entry: StoredBlock, apart: list[int]) -> AllocBlock:
    """The block with its nodes, without the rows that hold something else or nothing."""
    codes = np.frombuffer(entry.codes, dtype="<u4").tolist()
    block = replace(entry.facts, nodes=tuple(table.codes.ids[code] for code in codes))
    keep = np.ones(block.count, dtype=np.bool_)
    if entry.collected:
        keep = np.frombuffer(entry.mask, dtype=np.uint8) != COLLECTED
    keep[apart] = False
    return block if keep.all() else only_rows(block, keep)
