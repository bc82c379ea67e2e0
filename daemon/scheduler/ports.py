"""Ports of one group: what it asks for, and the choice on a node. Pure.

Theory: a static port is free on a node or the node is out. Dynamic ports are probed from a seeded start through
the node's whole range, so that a request only fails when nothing is left. Ports are counted per node, whatever
the address: a number that is taken on one host network is taken on all of them.

Source: spec/scheduler.md 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.model.job import TaskGroup
from daemon.model.resources import AllocatedPort, Port
from daemon.scheduler.addresses import address_of
from daemon.scheduler.ids import Ids
from daemon.scheduler.working import Working


@dataclass(frozen=True)
class PortAsk:
    """Ports of a group's network."""

    static: tuple[Port, ...] = ()
    dynamic: tuple[Port, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.static or self.dynamic)

    @property
    def exclusive(self) -> tuple[Port, ...]:
        """Static ports that at most one allocation of a node can hold."""
        return tuple(port for port in self.static if not port.ignore_collision)


def port_ask(group: TaskGroup) -> PortAsk:
    """What the group's first network asks for."""
    if not group.networks:
        return PortAsk()
    network = group.networks[0]
    return PortAsk(network.reserved_ports, network.dynamic_ports)


def choose_ports(working: Working, row: int, ask: PortAsk, ids: Ids) -> tuple[AllocatedPort, ...] | None:
    """Ports of one allocation on that row; None when they are not to be had."""
    fleet = working.fleet
    chosen: list[AllocatedPort] = []
    numbers: set[int] = set()
    for port in ask.static:
        if not port.ignore_collision and working.port_taken(row, port.value):
            return None
        numbers.add(port.value)
        chosen.append(_given(port, port.value, address_of(fleet, row, port), static=True))
    if ask.dynamic:
        low, high = int(fleet.port_min[row]), int(fleet.port_max[row])
        span = high - low + 1
        if span <= 0:
            return None
        start, tried = ids.number(span), 0
        for port in ask.dynamic:
            while tried < span:
                value = low + (start + tried) % span
                tried += 1
                # the probe never comes back to a number that it gave.
                if value not in numbers and not working.port_taken(row, value):
                    break
            else:
                return None
            chosen.append(_given(port, value, address_of(fleet, row, port), static=False))
    return tuple(chosen)


def _given(port: Port, value: int, address: str, *, static: bool) -> AllocatedPort:
    return AllocatedPort(
        label=port.label,
        value=value,
        to=value if port.to == -1 else port.to,
        host_ip=address,
        static=static,
        ignore_collision=port.ignore_collision,
    )
