"""How allocations are stored: blocks of columns, and rows of two kinds. Pure.

Theory: a `StoredBlock` is an AllocBlock whose node strings became codes. The first change of one of its rows
makes a row of its own: a `Patch` as long as only the node's word about it changed (what nearly all rows are),
else a `Packed` row. Task states are opaque encoded bytes in both; they are decoded for whoever reads.

Source: architecture.md "State".
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.alloc import Allocation, AllocBlock, AllocHealth, NetworkStatus
from daemon.model.base import Strict
from daemon.model.enums import ClientStatus
from daemon.model.tasks import TaskState
from daemon.state.task_packing import pack_states, unpack_states

#: a slot is `block number << ROW_BITS | row`; -1 for an allocation that never was in a block.
ROW_BITS = 16
ROW_MASK = (1 << ROW_BITS) - 1
NO_SLOT = -1

#: values of `StoredBlock.mask`.
AS_PLACED, CHANGED, COLLECTED = 0, 1, 2


class StoredBlock(Strict, frozen=True, kw_only=True, array_like=True):
    """A block in the table. `facts` has no node strings; `codes` has one uint32 per distinct node."""

    number: int
    facts: AllocBlock
    codes: bytes
    #: per row AS_PLACED, CHANGED or COLLECTED; empty while all are AS_PLACED.
    mask: bytes = b""
    collected: int = 0

    def state_of(self, row: int) -> int:
        """AS_PLACED, CHANGED or COLLECTED."""
        return self.mask[row] if self.mask else AS_PLACED

    def marked(self, row: int, mark: int) -> StoredBlock:
        """The block with another mark on one row."""
        mask = bytearray(self.mask or bytes(self.facts.count))
        mask[row] = mark
        return replace(self, mask=bytes(mask), collected=self.collected + (mark == COLLECTED))

    def code(self, row: int) -> int:
        """Code of the row's node."""
        node = int.from_bytes(self.facts.node_rows[4 * row : 4 * row + 4], "little")
        return int.from_bytes(self.codes[4 * node : 4 * node + 4], "little")


class Patch(Strict, frozen=True, kw_only=True, array_like=True, tag=1):
    """A row of a block of which only the node's word changed."""

    slot: int
    client_status: ClientStatus
    client_description: str
    task_states: bytes
    deployment_status: AllocHealth | None
    network_status: NetworkStatus | None
    modify_index: int
    modify_time_ns: int


class Packed(Strict, frozen=True, kw_only=True, array_like=True, tag=2):
    """A row that stands on its own. `alloc.task_states` is empty, `task_states` has them."""

    slot: int
    alloc: Allocation
    task_states: bytes


Row = Patch | Packed


def pack(slot: int, base: Allocation | None, alloc: Allocation) -> Row:
    """The smallest row that holds `alloc`; the servers' part of `base` is what its block says, if given."""
    if base is not None:
        states = pack_states(alloc.task_states)
        patch = Patch(
            slot=slot,
            client_status=alloc.client_status,
            client_description=alloc.client_description,
            task_states=states,
            deployment_status=alloc.deployment_status,
            network_status=alloc.network_status,
            modify_index=alloc.modify_index,
            modify_time_ns=alloc.modify_time_ns,
        )
        if patched(base, patch, alloc.task_states) == alloc:
            return patch
        return Packed(slot=slot, alloc=replace(alloc, task_states={}), task_states=states)
    return Packed(slot=slot, alloc=replace(alloc, task_states={}), task_states=pack_states(alloc.task_states))


def patched(base: Allocation, patch: Patch, states: dict[str, TaskState]) -> Allocation:
    """The allocation that a patch means."""
    return replace(
        base,
        client_status=patch.client_status,
        client_description=patch.client_description,
        task_states=states,
        deployment_status=patch.deployment_status,
        network_status=patch.network_status,
        modify_index=patch.modify_index,
        modify_time_ns=patch.modify_time_ns,
    )


def unpacked(row: Packed) -> Allocation:
    """The allocation of a row that stands on its own."""
    return replace(row.alloc, task_states=unpack_states(row.task_states)) if row.task_states else row.alloc
