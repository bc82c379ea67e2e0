"""Units: what a node has by the piece, and who holds it: reserved cores and instances of devices. Pure.

Theory: a unit is a name, unique on its node (`core:3`, `nvidia/gpu/t4:0`); one allocation holds it, and while a
replacement waits for its predecessor to end, both do. So holders are counted. Only rows of which something is held
are kept; what a node offers stands beside, as its record says.

Source: spec/scheduler.md 4.4 "Devices", 4.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from daemon.model.alloc import Allocation
from daemon.model.node import NodeDevice
from daemon.model.resources import AllocatedDevice, AllocatedResources

Holders = dict[int, dict[str, int]]
_NOBODY: dict[str, int] = {}
NO_CORES: tuple[tuple[int, ...], int] = ((), 0)


def core_unit(core: int) -> str:
    """Name of a reserved core."""
    return f"core:{core}"


def device_unit(group: str, instance: str) -> str:
    """Name of an instance of a device group."""
    return f"{group}:{instance}"


def units_given(resources: AllocatedResources) -> Iterator[str]:
    """Units that the resources hold."""
    for task in resources.tasks.values():
        yield from map(core_unit, task.reserved_cores)
        for device in task.devices:
            yield from _of_device(device)


def _of_device(device: AllocatedDevice) -> Iterator[str]:
    group = f"{device.vendor}/{device.type}/{device.name}"
    return (device_unit(group, instance) for instance in device.device_ids)


def units_of(alloc: Allocation) -> tuple[str, ...]:
    """Units that the allocation holds."""
    return tuple(units_given(alloc.allocated_resources))


def count_units(table: Holders, row: int, units: Iterable[str], sign: int) -> None:
    """One holder more or (-1) less of each."""
    held = table.setdefault(row, {})
    for unit in units:
        count = held.get(unit, 0) + sign
        if count:
            held[unit] = count
        else:
            held.pop(unit, None)
    if not held:
        del table[row]


class Units:
    """What nodes offer by the piece, and what of it is held."""

    def __init__(self) -> None:
        #: row -> (cores that jobs may reserve, MHz of each).
        self.cores: dict[int, tuple[tuple[int, ...], int]] = {}
        self.devices: dict[int, tuple[NodeDevice, ...]] = {}
        #: row -> unit -> holders that are committed; and those that this fleet's owner reserved by itself.
        self.held: Holders = {}
        self.own: Holders = {}

    def set_node(
        self, row: int, cores: tuple[int, ...], core_mhz: int, devices: tuple[NodeDevice, ...]
    ) -> None:
        """Write what the node's record says."""
        self.forget(row)
        if cores:
            self.cores[row] = cores, core_mhz
        if devices:
            self.devices[row] = devices

    def forget(self, row: int) -> None:
        """The node offers nothing any more."""
        self.cores.pop(row, None)
        self.devices.pop(row, None)

    def set_held(self, row: int, units: Iterable[str]) -> None:
        """Write all that is held there."""
        self.held.pop(row, None)
        held = dict.fromkeys(units, 1)
        if held:
            self.held[row] = held

    def holders(self, row: int, unit: str) -> int:
        """How many hold the unit."""
        return self.held.get(row, _NOBODY).get(unit, 0) + self.own.get(row, _NOBODY).get(unit, 0)

    def all_held(self, row: int) -> tuple[str, ...]:
        """Everything that is held there, in order."""
        return tuple(sorted({*self.held.get(row, ()), *self.own.get(row, ())}))


class UnitBook:
    """Units as they stand for one plan: the fleet's, with what the plan took and freed so far."""

    def __init__(self, units: Units) -> None:
        self.units = units
        self._moved: Holders = {}

    def taken(self, row: int, unit: str) -> bool:
        """True when the unit is not to be had for this plan."""
        return self.units.holders(row, unit) + self._moved.get(row, _NOBODY).get(unit, 0) > 0

    def take(self, row: int, units: Iterable[str]) -> None:
        """The plan gives them to one more."""
        units = tuple(units)
        if units:
            count_units(self._moved, row, units, 1)

    def free(self, row: int, units: Iterable[str]) -> None:
        """The plan ends one that held them."""
        units = tuple(units)
        if units:
            count_units(self._moved, row, units, -1)
