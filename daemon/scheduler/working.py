"""Working: the fleet as it will be after the plan made so far. Pure.

Theory: the plan's own stops free room for its placements (their resources, ports, and their place in the counts
of the job per node), nobody else's stops do: what still runs, counts. A stop that is tied to a replacement falls
with it, so that its room is for that replacement alone (`close_pair`).

Source: spec/scheduler.md 3.3, 4.4, 4.6; architecture.md "Fleet".
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from daemon.model.alloc import Allocation
from daemon.state.columns import Ints
from daemon.state.deltas import amounts
from daemon.state.fleet import Fleet
from daemon.state.units import UnitBook, units_of
from daemon.state.usage import ports_of, usage_of


class Working:
    """Copies of the usage columns, changed by every stop and placement of the plan."""

    def __init__(self, fleet: Fleet, allocs: Iterable[Allocation]) -> None:
        self.fleet = fleet
        self.used: Ints = fleet.used()
        self.free_dynamic: Ints = fleet.free_dynamic.copy()
        #: per group: allocations on each row that the node may still run; of these the wanted ones; and of these
        #: those whose replacement is placed elsewhere, so that they go if the plan commits whole.
        self.present: dict[str, Ints] = {}
        self.live: dict[str, Ints] = {}
        self.leaving: dict[str, Ints] = {}
        #: rows that the plan moved.
        self.touched: set[int] = set()
        self._taken: dict[int, set[int]] = {}
        self._freed: dict[int, set[int]] = {}
        self.units = UnitBook(fleet.units)
        for alloc in allocs:
            self._count(alloc, 1)

    def close(self) -> None:
        """The plan is made; the columns must not be used any more."""
        self.fleet.give_back(self.used)

    def counts(self, table: dict[str, Ints], group: str) -> Ints:
        """Count column of a group, made on demand."""
        column = table.get(group)
        if column is None:
            column = table[group] = np.zeros(self.fleet.length, dtype=np.int64)
        return column

    def job_total(self, table: dict[str, Ints]) -> Ints:
        """Counts over all groups."""
        total: Ints = np.zeros(self.fleet.length, dtype=np.int64)
        for column in table.values():
            total += column
        return total

    def planned(self, group: str) -> Ints:
        """Allocations of a group on each row once the plan is carried out."""
        live, leaving = self.counts(self.live, group), self.leaving.get(group)
        return live if leaving is None else live - leaving

    def row(self, node_id: str) -> int:
        """Row of a node, -1 when the fleet has none."""
        return self.fleet.row_of.get(node_id, -1)

    def _count(self, alloc: Allocation, sign: int) -> int:
        row = self.row(alloc.node_id)
        if row < 0 or alloc.client_terminal:
            return -1
        self.counts(self.present, alloc.task_group)[row] += sign
        if not alloc.server_terminal:
            self.counts(self.live, alloc.task_group)[row] += sign
        return row

    def staying(self, row: int) -> Ints:
        """What the row will hold once all that is told to stop has ended: for those who are there already."""
        held: Ints = self.used[:, row] - self.fleet.stopping[:, row]
        return held

    def stop(self, alloc: Allocation) -> int:
        """The plan stops it: what it holds is free for the plan. Returns the row that changed, or -1."""
        row = self._count(alloc, -1)
        if row >= 0:
            self.touched.add(row)
            self.used[:, row] -= amounts(usage_of(alloc.allocated_resources))
            self.units.free(row, units_of(alloc))
            for port in ports_of(alloc):
                was = self.port_taken(row, port)
                self._freed.setdefault(row, set()).add(port)
                self._note_port(row, port, was)
        return row

    def unstop(self, alloc: Allocation) -> int:
        """Take a stop back."""
        row = self._count(alloc, 1)
        if row >= 0:
            self.touched.add(row)
            self.used[:, row] += amounts(usage_of(alloc.allocated_resources))
            self.units.take(row, units_of(alloc))
            self._keep_ports(alloc, row)
        return row

    def free(
        self,
        row: int,
        usage: tuple[int, int, int, int],
        ports: Iterable[int],
        units: Iterable[str] = (),
    ) -> None:
        """The plan ends somebody else's allocation there: what it holds is free for the plan."""
        self.touched.add(row)
        self.used[:, row] -= usage
        self.units.free(row, units)
        for port in ports:
            was = self.port_taken(row, port)
            self._freed.setdefault(row, set()).add(port)
            self._note_port(row, port, was)

    def close_pair(self, previous: Allocation, row: int, usage: tuple[int, int, int, int]) -> int:
        """The tied replacement of `previous` is placed on `row`: keep for them what both may need.

        Either of the two will be there, never both. Returns the row of `previous`, which changed, or -1.
        """
        home = self.row(previous.node_id)
        if home < 0 or previous.client_terminal:
            return -1
        if home != row:
            if not previous.server_terminal:
                self.counts(self.leaving, previous.task_group)[home] += 1
            return self.unstop(previous)
        before = amounts(usage_of(previous.allocated_resources))
        self.used[:, row] += [max(0, old - new) for old, new in zip(before, usage, strict=True)]
        self.units.take(row, units_of(previous))
        self._keep_ports(previous, row)
        return row

    def _keep_ports(self, previous: Allocation, row: int) -> None:
        for port in ports_of(previous):
            was = self.port_taken(row, port)
            self._freed[row].discard(port)
            self._note_port(row, port, was)

    def place(
        self,
        row: int,
        group: str,
        usage: tuple[int, int, int, int],
        ports: Iterable[int],
        units: Iterable[str] = (),
    ) -> None:
        """The plan places one allocation there."""
        self.touched.add(row)
        self.used[:, row] += usage
        self.units.take(row, units)
        self.counts(self.present, group)[row] += 1
        self.counts(self.live, group)[row] += 1
        for port in ports:
            was = self.port_taken(row, port)
            self._taken.setdefault(row, set()).add(port)
            self._note_port(row, port, was)

    def place_many(self, rows: Ints, counts: Ints, group: str, usage: tuple[int, int, int, int]) -> None:
        """The plan places `counts` allocations on these distinct rows, without ports."""
        self.touched.update(rows.tolist())
        self.used[:, rows] += np.array(usage, dtype=np.int64)[:, None] * counts[None, :]
        self.counts(self.present, group)[rows] += counts
        self.counts(self.live, group)[rows] += counts

    def port_taken(self, row: int, port: int) -> bool:
        """True when the port is not to be had for this plan."""
        if port in self._taken.get(row, ()):
            return True
        if port in self._freed.get(row, ()):
            return port in self.fleet.reserved_ports.get(row, ())
        return self.fleet.port_taken(row, port)

    def rows_with_port(self, port: int) -> list[int]:
        """Rows on which the port is taken."""
        fleet = self.fleet
        rows = {row for table in (fleet.ports, fleet.own_ports, fleet.reserved_ports) for row in table}
        rows.update(self._taken)
        return [row for row in sorted(rows) if self.port_taken(row, port)]

    def _note_port(self, row: int, port: int, was_taken: bool) -> None:
        taken = self.port_taken(row, port)
        if taken != was_taken and self.fleet.port_min[row] <= port <= self.fleet.port_max[row]:
            self.free_dynamic[row] += 1 if was_taken else -1
