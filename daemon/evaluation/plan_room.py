"""Room: what is free for one plan on the tentative fleet, while its placements are let through. Pure.

Theory: what the plan takes and frees is kept in columns beside the fleet's, which stay as they are. What the plan
stops is free for this plan alone; what it stops only for a replacement, for that replacement alone, because the stop
falls when the replacement does.

Source: spec/scheduler.md 3.3, 4.5, 4.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from daemon.model.alloc import Allocation
from daemon.model.enums import DesiredStatus
from daemon.model.plan import Plan
from daemon.model.resources import AllocatedPort
from daemon.state.columns import Ints
from daemon.state.deltas import amounts
from daemon.state.fleet import Fleet
from daemon.state.units import UnitBook, units_of
from daemon.state.usage import ports_of, usage_of

_MANY = 1 << 40
FULL = "has no room for it any more"
_Held = tuple[int, tuple[int, int, int, int], tuple[int, ...], tuple[str, ...]]
AllocOf = Callable[[str], Allocation | None]


class Room:
    """Free room of one plan."""

    def __init__(self, fleet: Fleet, plan: Plan, alloc_of: AllocOf) -> None:
        self.fleet = fleet
        #: amounts per row that this plan takes (positive) or frees (negative); None: nothing yet.
        self._delta: Ints | None = None
        self._freed_ports: dict[int, set[int]] = {}
        self._taken_ports: dict[int, set[int]] = {}
        self._units = UnitBook(fleet.units)
        #: replacement -> what it replaces: (row, usage, ports, units).
        self._tied: dict[str, _Held] = {}
        #: placement -> what is ended to make room for it, on its node.
        self._pushed_out: dict[str, list[_Held]] = {}
        for stop in plan.stops:
            alloc = alloc_of(stop.alloc_id)
            if alloc is None or alloc.client_terminal:
                continue
            row = self.fleet.row_of.get(alloc.node_id, -1)
            if row < 0:
                continue
            held = row, amounts(usage_of(alloc.allocated_resources)), ports_of(alloc), units_of(alloc)
            if stop.desired_status == DesiredStatus.EVICT:
                self._pushed_out.setdefault(stop.replaced_by, []).append(held)
            elif stop.replaced_by:
                self._tied[stop.replaced_by] = held
            else:
                self.take(row, held[1], -1)
                self._freed_ports.setdefault(row, set()).update(held[2])
                self._units.free(row, held[3])

    def place(self, alloc: Allocation, row: int) -> tuple[AllocatedPort, ...] | str:
        """Take room and ports for one allocation: its ports as they can be had, or why not.

        What it replaces there is free while it is looked at, and for it alone. What is ended to make room for it
        is free for it, and for all that follows once it is let through: they are committed together or not at all.
        """
        pushed_out = [held for held in self._pushed_out.get(alloc.id, ()) if held[0] == row]
        before = self._freed_ports.get(row, set()).copy()
        for _, usage, ports, units in pushed_out:
            self.take(row, usage, -1)
            self._units.free(row, units)
            self._freed_ports.setdefault(row, set()).update(ports)
        settled = self._place(alloc, row)
        if isinstance(settled, str) and pushed_out:
            self._freed_ports[row] = before
            for _, usage, _, units in pushed_out:
                self.take(row, usage, 1)
                self._units.take(row, units)
        return settled

    def _place(self, alloc: Allocation, row: int) -> tuple[AllocatedPort, ...] | str:
        usage = amounts(usage_of(alloc.allocated_resources))
        units = units_of(alloc)
        row_of_tied, before, kept, kept_units = self._tied.get(alloc.id, (-1, (0, 0, 0, 0), (), ()))
        freed = self._freed_ports.setdefault(row, set())
        mine = set(kept) - freed if row_of_tied == row else set()
        if row_of_tied == row:
            self.take(row, before, -1)
            freed |= mine
            self._units.free(row, kept_units)
        ports: tuple[AllocatedPort, ...] | str = FULL
        if taken := [unit for unit in units if self._units.taken(row, unit)]:
            ports = f"has {taken[0]} in use by now"
        elif self.fits(row, usage):
            ports = self.settle_ports(row, alloc.allocated_resources.shared.ports)
        freed -= mine
        if row_of_tied == row:
            self._units.take(row, kept_units)
        if not isinstance(ports, str):
            self.take(row, usage, 1)
            self._units.take(row, units)
            if row_of_tied == row:
                # either of the two will be there, never both.
                rest = [max(0, old - new) for old, new in zip(before, usage, strict=True)]
                self.take(row, (rest[0], rest[1], rest[2], rest[3]), 1)
        elif row_of_tied == row:
            self.take(row, before, 1)
        return ports

    def take(self, row: int, usage: tuple[int, int, int, int], count: int) -> None:
        """Count placements (or, negative, stops) on a row."""
        self._moved[:, row] += np.array(usage, dtype=np.int64) * count

    def take_many(self, rows: Ints, usage: tuple[int, int, int, int], counts: Ints) -> None:
        """The same for several rows, all different."""
        self._moved[:, rows] += np.array(usage, dtype=np.int64)[:, None] * counts

    def _free(self, rows: Ints) -> Ints:
        fleet = self.fleet
        free: Ints = fleet.capacity.take(rows, axis=1)
        free -= fleet.total.take(rows, axis=1)
        if self._delta is not None:
            free -= self._delta.take(rows, axis=1)
        return free

    @property
    def _moved(self) -> Ints:
        if self._delta is None:
            self._delta = np.zeros((4, self.fleet.length), dtype=np.int64)
        return self._delta

    def room(self, rows: Ints, usage: tuple[int, int, int, int]) -> Ints:
        """How many placements of that usage fit on each row."""
        free = self._free(rows)
        most: Ints = np.full(len(rows), _MANY, dtype=np.int64)
        for i, amount in enumerate(usage):
            most = np.minimum(most, free[i] // amount if amount > 0 else np.where(free[i] >= 0, _MANY, 0))
        return np.maximum(most, 0)

    def fits(self, row: int, usage: tuple[int, int, int, int]) -> bool:
        """True when one more fits."""
        return bool(self.room(np.array([row], dtype=np.int64), usage)[0] >= 1)

    def settle_ports(self, row: int, ports: tuple[AllocatedPort, ...]) -> tuple[AllocatedPort, ...] | str:
        """The ports as they can be had, or why not."""
        if not ports:
            return ports
        numbers = self.settle_numbers(
            row, [(port.label, port.value, port.static, port.ignore_collision) for port in ports]
        )
        if isinstance(numbers, str):
            return numbers
        return tuple(
            port
            if port.value == number
            else msgspec.structs.replace(port, value=number, to=number if port.to == port.value else port.to)
            for port, number in zip(ports, numbers, strict=True)
        )

    def settle_numbers(self, row: int, asked: Sequence[tuple[str, int, bool, bool]]) -> list[int] | str:
        """Numbers for (label, planned, static, may collide): dynamic ones move when taken."""
        mine: set[int] = set()
        numbers: list[int] = []
        for label, planned, static, shared in asked:
            number = planned
            if not shared and (planned in mine or self._port_taken(row, planned)):
                if static:
                    return f"has port {planned} ({label}) in use by now"
                found = self._another(row, planned, mine | {value for _, value, fixed, _ in asked if fixed})
                if found is None:
                    return "has no dynamic port left"
                number = found
            mine.add(number)
            numbers.append(number)
        self._taken_ports.setdefault(row, set()).update(mine)
        return numbers

    def _port_taken(self, row: int, port: int) -> bool:
        if port in self._taken_ports.get(row, ()):
            return True
        if port in self._freed_ports.get(row, ()):
            return port in self.fleet.reserved_ports.get(row, ())
        return self.fleet.port_taken(row, port)

    def _another(self, row: int, planned: int, mine: set[int]) -> int | None:
        """The next free dynamic port after the planned one, around the node's range."""
        low, high = int(self.fleet.port_min[row]), int(self.fleet.port_max[row])
        span = high - low + 1
        start = (planned - low + 1) % span if span > 0 else 0
        for i in range(max(0, span)):
            port = low + (start + i) % span
            if port not in mine and not self._port_taken(row, port):
                return port
        return None
