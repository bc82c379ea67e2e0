"""What a group asks for by the piece: cores and devices; and the choice of these on one node. Pure.

Theory: each request of a device is served by one device group of the node. Which one is tried in the order of the
request's affinities, best first; where an earlier request took what a later one needs, the next is tried. Cores are
the lowest free ones. Allocations of such groups are placed one by one, because no two of them are given the same.

Source: spec/scheduler.md 4.4 "Devices", 4.6, 5.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from daemon.model.job import TaskGroup
from daemon.model.node import NodeDevice
from daemon.model.resources import AllocatedDevice, DeviceRequest
from daemon.scheduler.device_values import device_holds
from daemon.scheduler.working import Working
from daemon.state.units import NO_CORES, core_unit, device_unit

DEVICES = "devices"
#: choices that are tried on one node; no real node and job come near it.
_TRIES = 4096


@dataclass(frozen=True)
class UnitAsk:
    """Per task: cores, and requests of devices."""

    cores: tuple[tuple[str, int], ...] = ()
    devices: tuple[tuple[str, DeviceRequest], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.cores or self.devices)

    @property
    def core_count(self) -> int:
        """Cores of all tasks."""
        return sum(count for _, count in self.cores)

    @property
    def weight(self) -> int:
        """Sum of the absolute weights of all affinities; 0: nothing is preferred."""
        return sum(abs(each.weight) for _, request in self.devices for each in request.affinities)


NO_UNITS = UnitAsk()


@dataclass
class Given:
    """What one allocation is given on a node."""

    cores: dict[str, tuple[int, ...]] = field(default_factory=dict)
    devices: dict[str, tuple[AllocatedDevice, ...]] = field(default_factory=dict)
    #: MHz of one core there.
    core_mhz: int = 0
    #: the part of the score.
    score: float = 0.0

    def names(self) -> Iterator[str]:
        """Their units."""
        for cores in self.cores.values():
            yield from map(core_unit, cores)
        for devices in self.devices.values():
            for one in devices:
                group = f"{one.vendor}/{one.type}/{one.name}"
                yield from (device_unit(group, instance) for instance in one.device_ids)


def unit_ask(group: TaskGroup) -> UnitAsk:
    """What the group asks for."""
    return UnitAsk(
        tuple((task.name, task.resources.cores) for task in group.tasks if task.resources.cores),
        tuple((task.name, request) for task in group.tasks for request in task.resources.devices),
    )


def serves(device: NodeDevice, request: DeviceRequest) -> bool:
    """True when the device group is what the request asks for, however many are free."""
    asked = request.name.split("/")
    has = {
        1: (device.type,),
        2: (device.vendor, device.type),
        3: (device.vendor, device.type, device.name),
    }.get(len(asked))
    return tuple(asked) == has and all(
        device_holds(device, rule.l_target, rule.operand, rule.r_target) for rule in request.constraints
    )


def liking(device: NodeDevice, request: DeviceRequest) -> int:
    """Sum of the weights of the affinities that hold."""
    return sum(
        each.weight
        for each in request.affinities
        if device_holds(device, each.l_target, each.operand, each.r_target)
    )


def healthy(device: NodeDevice) -> list[str]:
    """Ids of the instances that work."""
    return [instance.id for instance in device.instances if instance.healthy]


def offers(devices: tuple[NodeDevice, ...], ask: UnitAsk) -> bool:
    """True when an empty node with these devices could serve all requests at once."""
    return _assign(ask, {device.key: healthy(device) for device in devices}, devices) is not None


def choose_units(working: Working, row: int, ask: UnitAsk) -> Given | None:
    """Cores and devices of one more allocation; None when they are not to be had."""
    offered, book = working.fleet.units, working.units
    found = Given()
    if ask.cores:
        cores, found.core_mhz = offered.cores.get(row, NO_CORES)
        free = iter(core for core in cores if not book.taken(row, core_unit(core)))
        for task, wanted in ask.cores:
            given = tuple(islice(free, wanted))
            if len(given) < wanted:
                return None
            found.cores[task] = given
    if ask.devices:
        devices = offered.devices.get(row, ())
        left = {
            device.key: [one for one in healthy(device) if not book.taken(row, device_unit(device.key, one))]
            for device in devices
        }
        chosen = _assign(ask, left, devices)
        if chosen is None:
            return None
        liked = 0
        for (task, request), (device, ids) in zip(ask.devices, chosen, strict=True):
            liked += liking(device, request)
            given_device = AllocatedDevice(
                vendor=device.vendor, type=device.type, name=device.name, device_ids=tuple(ids)
            )
            found.devices[task] = (*found.devices.get(task, ()), given_device)
        found.score = liked / ask.weight if ask.weight else 0.0
    return found


_Choice = list[tuple[NodeDevice, list[str]]]


def _assign(
    ask: UnitAsk,
    free: dict[str, list[str]],
    devices: tuple[NodeDevice, ...],
    at: int = 0,
    tries: Iterator[int] | None = None,
) -> _Choice | None:
    """For each request from `at` on a device group and its instances; the best liked group first."""
    tries = tries if tries is not None else iter(range(_TRIES))
    if at == len(ask.devices):
        return []
    request = ask.devices[at][1]
    order = sorted(
        (device for device in devices if serves(device, request)),
        key=lambda device: (-liking(device, request), device.key),
    )
    for device in order:
        has = free[device.key]
        if len(has) < request.count or next(tries, None) is None:
            continue
        rest = _assign(ask, free | {device.key: has[request.count :]}, devices, at + 1, tries)
        if rest is not None:
            return [(device, has[: request.count]), *rest]
    return None
