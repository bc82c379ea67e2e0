"""Which nodes could hold a group, apart from what is in use: one check a reason, each a mask over rows. Pure.

Theory: checks stay separate, because their order and their counts are the explanation of a failure: the nearest
miss is the node with the fewest failing checks, and a suggestion is a check whose removal alone leaves a node.

Source: spec/scheduler.md 4.1-4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial, reduce
from typing import Any, TypeVar

import numpy as np

from daemon.model.job import Job, TaskGroup
from daemon.model.policies import Constraint
from daemon.scheduler.addresses import is_own, offering
from daemon.scheduler.operators import DISTINCT
from daemon.scheduler.targets import constraint_mask, escapes, remember
from daemon.scheduler.unit_ask import UnitAsk, offers, unit_ask
from daemon.state.columns import Column, Mask
from daemon.state.deltas import DRIVER_DETECTED, DRIVER_HEALTHY
from daemon.state.fleet import Fleet

ALL_POOL = "all"


@dataclass(frozen=True)
class Check:
    """One reason to refuse nodes. `kind` groups them, `reason` is what metrics count under."""

    kind: str
    reason: str
    mask: Mask
    #: what it is about: a constraint, driver name, volume request, port, amount asked.
    subject: Any = None
    #: nodes of one computed class all give the same answer.
    by_class: bool = False


def conjunction(fleet: Fleet, checks: Sequence[Check]) -> Mask:
    """Rows that pass them all."""
    every: Mask = reduce(np.logical_and, (check.mask for check in checks), fleet.alive)
    return every


T = TypeVar("T")


def cached(fleet: Fleet, key: Hashable, make: Callable[[], T]) -> T:
    """What `make` derives from everything but usage, kept until a node changes."""
    kept = fleet.cache.get(key)
    if kept is not None and kept[0] == fleet.shape_version:
        found: T = kept[1]
        return found
    made = make()
    remember(fleet, key, (fleet.shape_version, made))
    return made


def location_checks(job: Job, fleet: Fleet) -> list[Check]:
    """Pool, datacenters, and taking new work at all."""
    key = ("location", job.node_pool, job.datacenters)
    return cached(fleet, key, lambda: _location_checks(job, fleet))


def _location_checks(job: Job, fleet: Fleet) -> list[Check]:
    if job.node_pool == ALL_POOL:
        in_pool = fleet.alive
    else:
        in_pool = fleet.pool.codes == fleet.pool.code(job.node_pool)
    table = [any(fnmatchcase(word, glob) for glob in job.datacenters) for word in fleet.datacenter.vocabulary]
    in_datacenter = np.array([*table, False], dtype=np.bool_)[fleet.datacenter.codes]
    return [
        Check("pool", f'node pool "{job.node_pool}"', in_pool, job.node_pool, by_class=True),
        Check("datacenter", "datacenters", in_datacenter, job.datacenters, by_class=True),
        Check("state", "not ready", fleet.ready),
    ]


def feasibility_checks(job: Job, group: TaskGroup, fleet: Fleet) -> list[Check]:
    """Everything about the node itself but volumes, in the order in which it is reported."""
    checks = [_constraint(fleet, constraint) for constraint in _plain(job.constraints)]
    drivers = dict.fromkeys(task.driver for task in group.tasks)
    for driver in drivers:
        checks.extend(cached(fleet, ("driver", driver), partial(_driver, fleet, driver)))
    of_tasks = (constraint for task in group.tasks for constraint in task.constraints)
    seen = {check.subject for check in checks if check.kind == "constraint"}
    for constraint in (*_plain(group.constraints), *_plain(tuple(of_tasks))):
        if constraint not in seen:
            seen.add(constraint)
            checks.append(_constraint(fleet, constraint))
    for network in group.networks[:1]:
        if network.mode not in ("host", "none", ""):
            mask = present(fleet, f"mode.{network.mode}")
            checks.append(Check("network", f'network mode "{network.mode}" missing', mask, network.mode))
        named = (port.host_network for port in (*network.reserved_ports, *network.dynamic_ports))
        for alias in dict.fromkeys(name for name in named if not is_own(name)):
            mask = cached(fleet, ("host network", alias), partial(offering, fleet, alias))
            checks.append(Check("host_network", f'missing host network "{alias}"', mask, alias))
    ask = unit_ask(group)
    if ask:
        checks.extend(cached(fleet, ("units", ask), partial(_by_the_piece, fleet, ask)))
    return checks


def _plain(constraints: tuple[Constraint, ...]) -> tuple[Constraint, ...]:
    return tuple(constraint for constraint in constraints if constraint.operand not in DISTINCT)


def _constraint(fleet: Fleet, constraint: Constraint) -> Check:
    mask = constraint_mask(fleet, constraint)
    return Check("constraint", str(constraint), mask, constraint, by_class=not escapes(constraint))


def present(fleet: Fleet, key: str) -> Mask:
    """Rows that have anything in a column."""
    column = fleet.column(key)
    return np.zeros(fleet.length, dtype=np.bool_) if column is None else column.codes >= 0


def holding(fleet: Fleet, column: Column | None, wanted: set[str]) -> Mask:
    """Rows that have one of these in a column."""
    if column is None:
        return np.zeros(fleet.length, dtype=np.bool_)
    table = [word in wanted for word in column.vocabulary]
    return np.array([*table, False], dtype=np.bool_)[column.codes]


def _driver(fleet: Fleet, driver: str) -> list[Check]:
    """Detected, and healthy. A node that says nothing of the driver may have the attribute instead."""
    column = fleet.column(f"driver.{driver}")
    told = present(fleet, f"driver.{driver}")
    attribute = fleet.column(f"attr.driver.{driver}")
    by_attribute = ~told & holding(fleet, attribute, {"1", "true", "True", "TRUE", "t", "T"})
    detected = told | by_attribute
    sick = holding(fleet, column, {str(DRIVER_DETECTED)})
    healthy = holding(fleet, column, {str(DRIVER_HEALTHY)}) | by_attribute
    checks = [Check("driver", f"missing driver {driver}", detected, driver)]
    if sick.any():
        # a node without the driver fails one check, not two.
        checks.append(Check("driver_health", f"driver {driver} unhealthy", healthy | ~detected, driver))
    return checks


def _by_the_piece(fleet: Fleet, ask: UnitAsk) -> list[Check]:
    """Nodes that could give the cores and devices if nothing were in use."""
    checks = []
    if ask.cores:
        mask = np.zeros(fleet.length, dtype=np.bool_)
        for row, (cores, _) in fleet.units.cores.items():
            mask[row] = len(cores) >= ask.core_count
        checks.append(Check("cores", "too few cores", mask, ask.core_count))
    if ask.devices:
        mask = np.zeros(fleet.length, dtype=np.bool_)
        for row, devices in fleet.units.devices.items():
            mask[row] = offers(devices, ask)
        checks.append(Check("device", "missing devices", mask, ask))
    return checks


def class_eligibility(fleet: Fleet, checks: Sequence[Check]) -> dict[str, bool]:
    """Per computed class: could a node of it, given room and readiness, hold the group?"""
    codes = fleet.computed_class.codes
    known = fleet.alive & (codes >= 0)
    size = len(fleet.computed_class.vocabulary)
    passing = known & conjunction(fleet, [check for check in checks if check.by_class])
    seen = np.bincount(codes[known], minlength=size)
    good = np.bincount(codes[passing], minlength=size)
    return {
        word: bool(good[code])
        for code, word in enumerate(fleet.computed_class.vocabulary)
        if word and seen[code]
    }
