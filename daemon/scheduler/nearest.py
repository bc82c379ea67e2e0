"""Why a group found no node: the nearest miss, and what single change would place it. Pure.

Theory: with every check as a mask, the number of failing checks per node is a sum, and the nodes that one change
would open are those with exactly one failing check. Among the nearest the one that lacks the smallest share of a
resource is named, with figures.

Source: users/wants.md 1; spec/scheduler.md (deviations).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daemon.model.metrics import NearestMiss
from daemon.model.policies import Constraint
from daemon.scheduler.feasible import Check
from daemon.scheduler.report import GroupView, distinct_checks, room_checks
from daemon.scheduler.targets import column_of
from daemon.scheduler.unit_lack import core_words, device_words
from daemon.state.columns import Ints, Mask
from daemon.state.deltas import STATE_WORDS
from daemon.state.fleet import RESOURCES

_UNITS = {"cpu": "MHz", "memory": "MB", "disk": "MB", "allocations": "allocations"}
_MOST = 6
#: what makes a node take new work again, by its state; for others it must come back.
_REMEDIES = {
    "ineligible": "make {name} eligible",
    "quarantined": "end the quarantine of {name} by making it eligible",
}


@dataclass
class Shortfall:
    """All checks of one group, and which nodes fail how many."""

    view: GroupView

    def __post_init__(self) -> None:
        ranker = self.view.ranker
        self.fleet = self.view.fleet
        only = self.view.only
        self.alive: Mask = self.fleet.alive if only is None else self.fleet.alive & only
        self.checks = [
            *self.view.location,
            *self.view.feasibility,
            *distinct_checks(ranker, ranker.working),
            *room_checks(ranker),
        ]
        self.failing: Ints = np.zeros(self.fleet.length, dtype=np.int64)
        for check in self.checks:
            self.failing += ~check.mask

    def nearest(self) -> NearestMiss | None:
        """The node with the fewest failing checks; None without nodes."""
        rows = np.flatnonzero(self.alive)
        if not len(rows):
            return None
        fewest = rows[self.failing[rows] == self.failing[rows].min()]
        row = int(fewest[np.argmin(self._shortage(fewest))])
        lacks = tuple(self._lack(check, row) for check in self.checks if not check.mask[row])
        return NearestMiss(node_id=self.fleet.ids[row], node_name=self.fleet.names[row], lacks=lacks)

    def suggestions(self) -> tuple[str, ...]:
        """One sentence for each single change that would place one more, most nodes first."""
        if not self.fleet.alive.any():
            return ("start a node: none has joined",)
        one = self.alive & (self.failing == 1)
        found: list[tuple[int, int, str]] = []
        for position, check in enumerate(self.checks):
            opened = one & ~check.mask
            count = int(np.count_nonzero(opened))
            if count:
                found.append((-count, position, self._change(check, opened, count)))
        found.sort()
        return tuple(text for _, _, text in found[:_MOST])

    def _shortage(self, rows: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Per row the largest share by which a resource is short of what is asked."""
        ranker = self.view.ranker
        worst = np.zeros(len(rows), dtype=np.float64)
        for i in range(3):
            if ranker.ask[i] > 0:
                free = self.fleet.capacity[i, rows] - ranker.working.used[i, rows]
                np.maximum(worst, (ranker.ask[i] - free) / ranker.ask[i], out=worst)
        return worst

    def _free(self, kind: str, row: int) -> int:
        i = RESOURCES.index(kind)
        return int(self.fleet.capacity[i, row] - self.view.ranker.working.used[i, row])

    def _lack(self, check: Check, row: int) -> str:
        fleet, kind = self.fleet, check.kind
        if kind == "pool":
            return f'it is in node pool "{fleet.pool.get(row)}", the job asks for "{check.subject}"'
        if kind == "datacenter":
            asked = ", ".join(check.subject)
            return f'it is in datacenter "{fleet.datacenter.get(row)}", the job asks for {asked}'
        if kind == "state":
            return f"it is {STATE_WORDS[int(fleet.state[row])]}"
        if kind == "constraint":
            return f"constraint {check.reason}: {self._has(check.subject, row)}"
        if kind == "driver":
            return f"it has no driver {check.subject}"
        if kind == "driver_health":
            return f"its driver {check.subject} is unhealthy"
        if kind == "volume":
            return f'it offers no host volume "{check.subject}"'
        if kind == "volume_access":
            return f'its host volume "{check.subject}" is read-only, the group asks to write'
        if kind in _VOLUME_LACKS:
            return _VOLUME_LACKS[kind].format(subject=check.subject)
        if kind == "network":
            return f'it has no network of mode "{check.subject}"'
        if kind == "host_network":
            return f'it has no host network "{check.subject}"'
        if kind == "distinct_hosts":
            return "it holds an allocation of the job already (distinct_hosts)"
        if kind == "distinct_property":
            return (
                f"its value of {check.subject.constraint.l_target} is used up or missing (distinct_property)"
            )
        if kind == "port":
            return f"port {check.subject} is in use"
        if kind == "ports":
            free = int(self.view.ranker.working.free_dynamic[row])
            return f"it has {free} free dynamic ports, {check.subject} are needed"
        if kind in ("cores", "free_cores"):
            return core_words(self.view.ranker.working, row, check.subject)
        if kind in ("device", "free_device"):
            return device_words(self.view.ranker.working, row, check.subject)
        free = max(0, self._free(kind, row))
        return f"{kind}: {free} {_UNITS[kind]} free of {self._whole(kind, row)}, {check.subject} needed"

    def _whole(self, kind: str, row: int) -> int:
        return int(self.fleet.capacity[RESOURCES.index(kind), row])

    def _has(self, constraint: Constraint, row: int) -> str:
        """What the node has for the constraint's left side."""
        column = column_of(self.fleet, constraint.l_target)
        value = None if column is None else column.get(row)
        return (
            f'{constraint.l_target} is "{value}"'
            if value is not None
            else f"{constraint.l_target} is not set"
        )

    def _change(self, check: Check, opened: Mask, count: int) -> str:
        kind, group = check.kind, self.view.group
        nodes = f"{count} node{'s' if count > 1 else ''}"
        rows = np.flatnonzero(opened)
        name = self._name(int(rows[0]))
        if kind in RESOURCES[:3]:
            i = RESOURCES.index(kind)
            free = self.fleet.capacity[i, rows] - self.view.ranker.working.used[i, rows]
            most, best = int(free.max()), self._name(int(rows[int(free.argmax())]))
            if most <= 0:
                return f"free {check.subject} {_UNITS[kind]} of {kind} on {best}, or add a node"
            ask = f"{check.subject} {_UNITS[kind]}"
            text = f'lower {kind} of group "{group}" from {ask} to at most {most} {_UNITS[kind]} (free on {best})'
            if int(self.fleet.capacity[i, rows].max()) >= check.subject:
                text += (
                    f", or free {check.subject - most} {_UNITS[kind]} there: running work is not pushed out"
                )
            return text
        if kind == "allocations":
            return f"raise the limit of allocations on {name}, or add a node"
        if kind == "pool":
            pool = self.fleet.pool.get(int(rows[0]))
            return f'change node_pool from "{check.subject}" to "{pool}" ({nodes} there would serve)'
        if kind == "datacenter":
            there = sorted({self.fleet.datacenter.get(row) or "" for row in rows.tolist()})
            named = ", ".join(f'"{word}"' for word in there[:5])
            return f"change datacenters to include {named} ({nodes} there would serve)"
        if kind == "state":
            state = STATE_WORDS[int(self.fleet.state[int(rows[0])])]
            remedy = _REMEDIES.get(state, "bring {name} back (it is {state})").format(name=name, state=state)
            return f"{remedy}; {nodes} would serve but take no new work"
        if kind == "constraint":
            return f"drop or relax the constraint {check.reason} ({nodes} would serve)"
        if kind == "port":
            return f"free port {check.subject} on {name}, or ask for a dynamic port"
        if kind == "ports":
            return f"widen the range of dynamic ports of {name}, or ask for fewer ports"
        return _SIMPLE[kind].format(subject=check.subject, name=name, nodes=nodes)

    def _name(self, row: int) -> str:
        return f'node "{self.fleet.names[row] or self.fleet.ids[row][:8]}"'


_VOLUME_LACKS = {
    "volume_sticky": 'its host volume "{subject}" is of its configuration: sticky is for dynamic ones',
    "volume_state": 'its host volume "{subject}" is not ready',
    "volume_mode": 'its host volume "{subject}" does not offer the access and attachment mode asked for',
    "volume_writer": 'another group writes to its host volume "{subject}"',
    "volume_claim": 'the volume "{subject}" that the group has a claim on is on another node',
}

_SIMPLE = {
    "volume_sticky": 'drop sticky: host volume "{subject}" on {name} stays where it is anyway',
    "volume_state": 'see why host volume "{subject}" on {name} is not ready',
    "volume_mode": 'ask for host volume "{subject}" in a mode that it offers on {name}',
    "volume_writer": 'end the other group that writes to "{subject}" on {name}, or ask for it read-only',
    "volume_claim": 'make room on the node that holds the claimed volume "{subject}"',
    "driver": "add a node with driver {subject}, or install it on {name} ({nodes} lack only that)",
    "driver_health": "repair driver {subject} on {name} ({nodes} lack only that)",
    "volume": 'offer host volume "{subject}" on {name} ({nodes} lack only that)',
    "volume_access": 'ask for host volume "{subject}" read-only, or make it writable on {name}',
    "cores": "ask for fewer cores, or add a node that has {subject} ({nodes} lack only that)",
    "free_cores": "free {subject} cores on {name}, or add a node",
    "device": "add a node with the devices, or repair those of {name} ({nodes} lack only that)",
    "free_device": "free the devices that are in use on {name}, or add a node with more",
    "host_network": 'configure host_network "{subject}" on {name} ({nodes} lack only that)',
    "network": 'offer a network of mode "{subject}" on {name}',
    "distinct_hosts": "add a node, lower the count, or drop distinct_hosts ({nodes} hold the job already)",
    "distinct_property": "add a node with a new value, or raise the limit of distinct_property",
}
