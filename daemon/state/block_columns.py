"""Reading and filtering the columns of an AllocBlock. Pure.

Source: architecture.md "State".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from daemon.model.alloc import AllocBlock, PortColumn
from daemon.state.alloc_rows import ROW_MASK

Mask = npt.NDArray[np.bool_]


def column_faults(block: AllocBlock) -> str:
    """Why the columns do not fit together; empty when they do."""
    count, nodes = block.count, len(block.nodes)
    if not 0 < count <= ROW_MASK:
        return f"a block has from 1 to {ROW_MASK} rows, not {count}"
    if len(block.ids) != 16 * count or len(block.node_rows) != 4 * count or len(block.indexes) != 4 * count:
        return f"the columns are not of {count} rows"
    if len(block.node_names) != nodes or len(block.node_epochs) != nodes:
        return f"names or epochs are not of {nodes} nodes"
    for column in block.ports:
        if len(column.values) != 2 * count:
            return f"the port column {column.label!r} is not of {count} rows"
        if len(column.host_ips) not in (0, 1, nodes):
            return f"the port column {column.label!r} has {len(column.host_ips)} addresses for {nodes} nodes"
    if int(node_rows(block).max()) >= nodes:
        return f"a row refers to a node beyond the {nodes} of the block"
    return ""


def node_rows(block: AllocBlock) -> npt.NDArray[np.uint32]:
    """Per row the position of its node."""
    return np.frombuffer(block.node_rows, dtype="<u4")


def has_repeats(block: AllocBlock) -> bool:
    """True when two rows bear one id."""
    prefixes = np.sort(np.frombuffer(block.ids, dtype="<u8")[::2])
    if not bool((prefixes[1:] == prefixes[:-1]).any()):
        return False
    return len({block.ids[16 * row : 16 * row + 16] for row in range(block.count)}) < block.count


def only_rows(block: AllocBlock, keep: Mask) -> AllocBlock:
    """The block with the rows that `keep` marks. Nodes stay as they are."""
    return replace(
        block,
        count=int(keep.sum()),
        ids=_rows_of(block.ids, 16, keep),
        node_rows=_rows_of(block.node_rows, 4, keep),
        indexes=_rows_of(block.indexes, 4, keep),
        ports=tuple(_only_ports(column, keep) for column in block.ports),
    )


def _only_ports(column: PortColumn, keep: Mask) -> PortColumn:
    return replace(column, values=_rows_of(column.values, 2, keep))


def _rows_of(data: bytes, width: int, keep: Mask) -> bytes:
    table: npt.NDArray[Any] = np.frombuffer(data, dtype=f"V{width}")
    return table[keep].tobytes()
