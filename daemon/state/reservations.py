"""Reservation: what a plan's placements add to rows of the fleet, before the state knows of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from daemon.model.alloc import AllocBlock
from daemon.model.plan import Plan
from daemon.state.columns import Ints
from daemon.state.deltas import amounts
from daemon.state.units import units_of
from daemon.state.usage import ports_of, usage_of


@dataclass(frozen=True)
class Reservation:
    """Amounts per distinct row (4, k), and the ports taken."""

    rows: Ints
    amounts: Ints
    ports: tuple[tuple[int, int], ...] = ()
    port_rows: tuple[int, ...] = field(default=())
    #: (row, cores and instances of devices) of each placement that takes any.
    units: tuple[tuple[int, tuple[str, ...]], ...] = ()


def block_rows(block: AllocBlock, row_of: dict[str, int]) -> Ints:
    """Fleet row of each of the block's nodes; -1 where the fleet does not know the node."""
    return np.fromiter(map(row_of.get, block.nodes, repeat(-1)), dtype=np.int64, count=len(block.nodes))


def block_positions(block: AllocBlock) -> Ints:
    """Per placement the position of its node in `block.nodes`."""
    return np.frombuffer(block.node_rows, dtype="<u4").astype(np.int64)


def block_ports(block: AllocBlock) -> list[Ints]:
    """Per port label the number of each placement."""
    return [np.frombuffer(column.values, dtype="<u2").astype(np.int64) for column in block.ports]


def reservation_of(plan: Plan, row_of: dict[str, int]) -> Reservation:
    """What the plan's placements add. Nodes that the fleet does not know are left out."""
    row_parts: list[Ints] = []
    amount_parts: list[Ints] = []
    ports: list[tuple[int, int]] = []
    for block in plan.blocks:
        usage = np.array(amounts(usage_of(block.allocated_resources)), dtype=np.int64)
        rows = block_rows(block, row_of)
        positions = block_positions(block)
        counts = np.bincount(positions, minlength=len(rows))
        known = rows >= 0
        row_parts.append(rows[known])
        amount_parts.append(usage[:, None] * counts[known])
        for values in block_ports(block):
            pairs = zip(rows[positions].tolist(), values.tolist(), strict=True)
            ports.extend(pair for pair in pairs if pair[0] >= 0)
    if len(row_parts) == 1 and not plan.allocs:
        # the nodes of one block are all different already.
        distinct, sums = row_parts[0], amount_parts[0]
        return Reservation(distinct, sums, tuple(ports), tuple(sorted({row for row, _ in ports})))
    singles = [alloc for alloc in plan.allocs if alloc.node_id in row_of]
    for alloc in singles:
        ports.extend((row_of[alloc.node_id], port) for port in ports_of(alloc))
    row_parts.append(np.array([row_of[alloc.node_id] for alloc in singles], dtype=np.int64))
    single_amounts = [amounts(usage_of(alloc.allocated_resources)) for alloc in singles]
    amount_parts.append(np.array(single_amounts, dtype=np.int64).reshape(len(singles), 4).T)
    distinct, inverse = np.unique(np.concatenate(row_parts), return_inverse=True)
    added = np.concatenate(amount_parts, axis=1)
    sums = np.zeros((4, len(distinct)), dtype=np.int64)
    for i in range(4):
        np.add.at(sums[i], inverse, added[i])
    return Reservation(
        rows=distinct,
        amounts=sums,
        ports=tuple(ports),
        port_rows=tuple(sorted({row for row, _ in ports})),
        units=tuple((row_of[alloc.node_id], units) for alloc in singles if (units := units_of(alloc))),
    )
