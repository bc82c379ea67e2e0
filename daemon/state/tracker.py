"""FleetTracker: the server's fleet, kept from the state's changes; source of all deltas. Pure.

Theory: `fleet.wanted` and `fleet.stopping` are what is committed; `fleet.own` is what plans in flight add, so that
`fleet.used()` is the tentative fleet which plans are checked against. Each change stamps the rows it touches with
a growing sequence; `delta_since` reads the stamps, so that a worker who missed many changes gets each row once.
Deltas carry tentative values: a worker sees the plans of the others before they are committed.

Source: architecture.md "Fleet", "Evaluation and plans".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from daemon.model.alloc import Allocation, AllocBlock
from daemon.model.node import Node
from daemon.model.plan import Plan
from daemon.state.columns import Ints, grown
from daemon.state.deltas import FleetDelta, NodeFacts, amounts, facts_of
from daemon.state.fleet import Fleet
from daemon.state.reservations import Reservation, block_ports, block_positions, block_rows, reservation_of
from daemon.state.units import count_units, units_of
from daemon.state.usage import ports_of, usage_of


class ChangesLike(Protocol):
    """The part of the state's Changes that this reads."""

    @property
    def index(self) -> int:
        """Index of the log entry."""

    @property
    def nodes(self) -> Sequence[tuple[Node | None, Node | None]]:
        """(before, after) of nodes."""

    @property
    def allocs(self) -> Sequence[tuple[Allocation | None, Allocation | None]]:
        """(before, after) of allocations that changed on their own."""

    @property
    def blocks(self) -> Sequence[AllocBlock]:
        """Newly placed blocks."""


class FleetTracker:
    """Owns the committed fleet and the usage in flight beside it."""

    def __init__(self, epoch: int = 1) -> None:
        self.epoch = epoch
        self._restart()

    def _restart(self) -> None:
        self.fleet = Fleet()
        self.fleet.epoch = self.epoch
        self.sequence = 1
        self._facts: dict[int, NodeFacts] = {}
        self._node_stamp: Ints = np.zeros(self.fleet.length, dtype=np.int64)
        self._usage_stamp: Ints = np.zeros(self.fleet.length, dtype=np.int64)
        self._port_stamp: dict[int, int] = {}
        self._unit_stamp: dict[int, int] = {}
        #: further holders of a port beyond the first: a replacement beside its stopping predecessor.
        self._more: dict[tuple[int, int], int] = {}
        self._tickets = 0

    @property
    def index(self) -> int:
        """Index of the log that the committed figures were taken at."""
        return self.fleet.index

    # -- following the state -----------------------------------------------------------------------

    def observe(self, changes: ChangesLike) -> None:
        """Follow one batch of changes. A reset is the caller's to see: it calls `rebuild`."""
        self.sequence += 1
        self.fleet.index = changes.index
        for before, after in changes.nodes:
            self._observe_node(before, after)
        for block in changes.blocks:
            self._add_block(block)
        for old, new in changes.allocs:
            if old is not None and new is not None and _counts_alike(old, new):
                continue
            if old is not None:
                self._count(old, -1)
            if new is not None:
                self._count(new, 1)

    def rebuild(
        self,
        index: int,
        nodes: Iterable[Node],
        allocs: Iterable[Allocation],
        blocks: Iterable[AllocBlock] = (),
    ) -> None:
        """Start anew from a whole state. `blocks` are those none of whose rows changed on their own.

        What was in flight is forgotten: a new leader, or a snapshot, voids it.
        """
        self.epoch += 1
        self._restart()
        self.fleet.index = index
        for node in nodes:
            self._observe_node(None, node)
        for block in blocks:
            self._add_block(block)
        for alloc in allocs:
            self._count(alloc, 1)

    def _observe_node(self, before: Node | None, after: Node | None) -> None:
        if after is None:
            if before is not None and before.id in self.fleet.row_of:
                row = self.fleet.row_of[before.id]
                self._facts.pop(row, None)
                self.fleet.remove_node(row)
                self._node_stamp[row] = self.sequence
            return
        row = self._row(after.id)
        facts = facts_of(after, row)
        if self._facts.get(row) != facts:
            self._facts[row] = facts
            self.fleet.set_node(facts)
            self._node_stamp[row] = self.sequence

    def _row(self, node_id: str) -> int:
        row = self.fleet.row_of.get(node_id)
        if row is None:
            row = self.fleet.add_row()
            self.fleet.ids[row] = node_id
            self.fleet.row_of[node_id] = row
            if self.fleet.length > len(self._node_stamp):
                self._node_stamp = grown(self._node_stamp, self.fleet.length, 0)
                self._usage_stamp = grown(self._usage_stamp, self.fleet.length, 0)
        return row

    def _add_block(self, block: AllocBlock) -> None:
        rows = block_rows(block, self.fleet.row_of)
        if (rows < 0).any():
            rows = np.array([self._row(node) for node in block.nodes], dtype=np.int64)
        positions = block_positions(block)
        counts = np.bincount(positions, minlength=len(rows))
        usage = np.array(amounts(usage_of(block.allocated_resources)), dtype=np.int64)
        added = usage[:, None] * counts[None, :]
        self.fleet.wanted[:, rows] += added
        self.fleet.total[:, rows] += added
        self.fleet.usage_moved(rows)
        self._usage_stamp[rows] = self.sequence
        for values in block_ports(block):
            for row, port in zip(rows[positions].tolist(), values.tolist(), strict=True):
                if port:
                    self._take_port(row, port)

    def _count(self, alloc: Allocation, sign: int) -> None:
        if alloc.client_terminal:
            return
        row = self._row(alloc.node_id)
        column = self.fleet.stopping if alloc.server_terminal else self.fleet.wanted
        usage = amounts(usage_of(alloc.allocated_resources))
        for i in range(4):
            column[i, row] += sign * usage[i]
            self.fleet.total[i, row] += sign * usage[i]
        self.fleet.usage_moved(row)
        self._usage_stamp[row] = self.sequence
        if units := units_of(alloc):
            count_units(self.fleet.units.held, row, units, sign)
            self._unit_stamp[row] = self.sequence
        for port in ports_of(alloc):
            if sign > 0:
                self._take_port(row, port)
            else:
                self._free_port(row, port)

    def _take_port(self, row: int, port: int) -> None:
        was = self.fleet.port_taken(row, port)
        held = self.fleet.ports.setdefault(row, set())
        if port in held:
            self._more[row, port] = self._more.get((row, port), 0) + 1
        held.add(port)
        self.fleet.note_port(row, port, was)
        self._port_stamp[row] = self.sequence

    def _free_port(self, row: int, port: int) -> None:
        more = self._more.get((row, port), 0)
        if more > 1:
            self._more[row, port] = more - 1
        elif more == 1:
            del self._more[row, port]
        else:
            held = self.fleet.ports.get(row)
            if held is not None:
                held.discard(port)
                if not held:
                    del self.fleet.ports[row]
                self.fleet.note_port(row, port, True)
        self._port_stamp[row] = self.sequence

    # -- plans in flight ---------------------------------------------------------------------------

    def reserve(self, plan: Plan) -> str:
        """Count an accepted plan as in flight. Returns the ticket for `release`."""
        self._tickets += 1
        ticket = f"{self.epoch}-{self._tickets}"
        held = reservation_of(plan, self.fleet.row_of)
        self.fleet.hold(ticket, held)
        self.sequence += 1
        self._stamp(held)
        return ticket

    def release(self, ticket: str) -> None:
        """The plan is committed and observed, or failed. A ticket from before a rebuild does nothing."""
        held = self.fleet.unhold(ticket)
        if held is not None:
            self.sequence += 1
            self._stamp(held)

    def touch(self, node_ids: Iterable[str]) -> None:
        """Send these rows again with the next delta: somebody reserved what was refused."""
        self.sequence += 1
        for node_id in node_ids:
            row = self.fleet.row_of.get(node_id)
            if row is not None:
                self._usage_stamp[row] = self.sequence
                self._port_stamp[row] = self._unit_stamp[row] = self.sequence

    def _stamp(self, held: Reservation) -> None:
        self._usage_stamp[held.rows] = self.sequence
        for row in held.port_rows:
            self._port_stamp[row] = self.sequence
        for row, _ in held.units:
            self._unit_stamp[row] = self.sequence

    # -- deltas ------------------------------------------------------------------------------------

    def delta_since(
        self, sequence: int, epoch: int | None = None, settled: tuple[str, ...] = ()
    ) -> FleetDelta:
        """What changed after `sequence`; everything when the receiver follows another epoch or none (0)."""
        fleet = self.fleet
        full = sequence <= 0 or (epoch is not None and epoch != self.epoch)
        since = 0 if full else sequence
        if full:
            nodes = tuple(self._facts.values())
            gone: tuple[int, ...] = ()
            rows = np.arange(fleet.rows, dtype=np.int64)
        else:
            changed = np.flatnonzero(self._node_stamp > since).tolist()
            nodes = tuple(self._facts[row] for row in changed if row in self._facts)
            gone = tuple(row for row in changed if row not in self._facts)
            rows = np.flatnonzero(self._usage_stamp > since)
        wanted = fleet.wanted[:, rows] + fleet.own[:, rows]
        usage = np.concatenate((wanted, fleet.stopping[:, rows])).astype("<i8", copy=False)
        return FleetDelta(
            epoch=self.epoch,
            since=since,
            sequence=self.sequence,
            full=full,
            index=fleet.index,
            rows=fleet.rows,
            nodes=nodes,
            gone=gone,
            usage_rows=rows.astype("<u4").tobytes(),
            usage=usage.tobytes(),
            ports={row: self._packed_ports(row) for row, stamp in self._port_stamp.items() if stamp > since},
            units={
                row: fleet.units.all_held(row) for row, stamp in self._unit_stamp.items() if stamp > since
            },
            settled=settled,
        )

    def _packed_ports(self, row: int) -> bytes:
        held = self.fleet.ports.get(row, set()).union(self.fleet.own_ports.get(row, ()))
        return np.array(sorted(held), dtype="<u2").tobytes()


def _counts_alike(old: Allocation, new: Allocation) -> bool:
    """True for what most changes are: the node's word on tasks that go on."""
    return (
        old.client_terminal == new.client_terminal
        and old.server_terminal == new.server_terminal
        and old.allocated_resources == new.allocated_resources
    )
