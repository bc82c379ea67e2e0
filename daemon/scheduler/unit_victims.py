"""Who has to go so that cores or devices become free: the choice of victims by the piece. Pure.

Theory: for each request, every device group that serves it is an option; its holders go, the least important first,
until enough is free, and of these the ones that hold most are kept while the rest prove needless. The option whose
distinct priorities add up to the least is taken. Cores are looked at like one group.

Source: spec/scheduler.md 5.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.model.plan import Neighbour
from daemon.scheduler.unit_ask import UnitAsk, choose_units, healthy, serves
from daemon.scheduler.working import Working
from daemon.state.units import NO_CORES, core_unit, device_unit


def unit_victims(
    working: Working, row: int, ask: UnitAsk, neighbours: Sequence[Neighbour]
) -> list[Neighbour] | None:
    """Holders of what is missing there; none when nothing is; None when even without them it would not do."""
    if not ask or choose_units(working, row, ask) is not None:
        return []
    chosen: list[Neighbour] = []
    given: set[str] = set()
    for count, options in _needs(working, row, ask):
        found = [
            (sum({one.priority for one in victims}), at, victims, free)
            for at, units in enumerate(options)
            if (outcome := _option(working, row, units - given, count, neighbours, chosen)) is not None
            for victims, free in (outcome,)
        ]
        if not found:
            return None
        _, _, victims, free = min(found, key=lambda each: each[:2])
        chosen += victims
        given |= free
    return chosen if _would_do(working, row, ask, chosen) else None


def _needs(working: Working, row: int, ask: UnitAsk) -> Iterator[tuple[int, list[set[str]]]]:
    """Per request how many, and the sets of units of which one has to give them."""
    offered = working.fleet.units
    if ask.cores:
        cores, _ = offered.cores.get(row, NO_CORES)
        yield ask.core_count, [set(map(core_unit, cores))]
    for _, request in ask.devices:
        yield (
            request.count,
            [
                {device_unit(device.key, one) for one in healthy(device)}
                for device in sorted(offered.devices.get(row, ()), key=lambda device: device.key)
                if serves(device, request)
            ],
        )


def _option(
    working: Working,
    row: int,
    units: set[str],
    count: int,
    neighbours: Sequence[Neighbour],
    gone: Sequence[Neighbour],
) -> tuple[list[Neighbour], set[str]] | None:
    """Who else has to go so that `count` of the units are free, and which are taken then."""
    freed = {unit for one in gone for unit in one.units}
    free = {unit for unit in units if unit in freed or not working.units.taken(row, unit)}
    holders = [one for one in neighbours if one not in gone and not units.isdisjoint(one.units)]
    victims: list[Neighbour] = []
    for one in sorted(holders, key=lambda each: (each.priority, each.alloc_id)):
        if len(free) >= count:
            break
        victims.append(one)
        free |= units.intersection(one.units)
    if len(free) < count:
        return None
    for one in sorted(victims, key=lambda each: (len(units.intersection(each.units)), each.alloc_id)):
        if len(free) - len(units.intersection(one.units)) >= count:
            victims.remove(one)
            free -= units.intersection(one.units)
    return victims, set(sorted(free)[:count])


def _would_do(working: Working, row: int, ask: UnitAsk, victims: Sequence[Neighbour]) -> bool:
    """True when the request is served once they are gone."""
    for one in victims:
        working.units.free(row, one.units)
    served = choose_units(working, row, ask) is not None
    for one in victims:
        working.units.take(row, one.units)
    return served
