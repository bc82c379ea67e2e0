"""What a node lacks of the cores and devices that a group asks for: checks and words. Pure.

Source: users/wants.md 1; spec/scheduler.md 4.4 "Devices".
"""

from __future__ import annotations

import numpy as np

from daemon.model.resources import DeviceRequest
from daemon.scheduler.feasible import Check
from daemon.scheduler.ranker import Ranker
from daemon.scheduler.unit_ask import UnitAsk, choose_units, healthy, offers, serves
from daemon.scheduler.working import Working
from daemon.state.units import NO_CORES, core_unit, device_unit


def unit_checks(ranker: Ranker) -> list[Check]:
    """Cores and devices that are in use, as checks; nodes that have too few in all fail other checks."""
    working, ask, checks = ranker.working, ranker.units, []
    if ask.cores:
        mask = np.ones(working.fleet.length, dtype=np.bool_)
        alone = UnitAsk(cores=ask.cores)
        for row, (cores, _) in working.fleet.units.cores.items():
            if len(cores) < ask.core_count:
                continue
            cpu = int(working.used[0, row]) + ranker.ask_at(row)[0]
            mask[row] = (
                cpu <= working.fleet.capacity[0, row] and choose_units(working, row, alone) is not None
            )
        checks.append(Check("free_cores", "cores", mask, ask.core_count))
    if ask.devices:
        mask = np.ones(working.fleet.length, dtype=np.bool_)
        alone = UnitAsk(devices=ask.devices)
        for row, devices in working.fleet.units.devices.items():
            mask[row] = not offers(devices, ask) or choose_units(working, row, alone) is not None
        checks.append(Check("free_device", "devices", mask, ask))
    return checks


def core_words(working: Working, row: int, wanted: int) -> str:
    """Why the cores are not to be had."""
    usable, mhz = working.fleet.units.cores.get(row, NO_CORES)
    free = sum(not working.units.taken(row, core_unit(core)) for core in usable)
    if free < wanted:
        return f"it has {free} free cores of {len(usable)}, {wanted} are needed"
    rest = int(working.fleet.capacity[0, row] - working.used[0, row])
    return f"{wanted} cores are {wanted * mhz} MHz there, {max(0, rest)} MHz are free"


def device_words(working: Working, row: int, ask: UnitAsk) -> str:
    """Why the devices are not to be had: the first request that has too few."""
    devices = working.fleet.units.devices.get(row, ())
    for _, request in ask.devices:
        good = [device for device in devices if serves(device, request)]
        works = max((len(healthy(device)) for device in good), default=0)
        if works < request.count:
            return f"it has {works} healthy {asked(request)}, {request.count} are needed"
        free = max(
            sum(not working.units.taken(row, device_unit(device.key, one)) for one in healthy(device))
            for device in good
        )
        if free < request.count:
            return f"{free} of its {works} healthy {asked(request)} are free, {request.count} are needed"
    return "its devices serve each request, but not all of them at once"


def asked(request: DeviceRequest) -> str:
    """The request in words."""
    return request.name + (" that match the constraints" if request.constraints else "")
