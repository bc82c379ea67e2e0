"""Host networks: which nodes have the one that a port names, and its address there. Pure.

Theory: a port without a name, or named `default`, has the node's own address. Any other name is an alias that the
operator of a node gave to some of its addresses; it may be a target (`${meta.net}`), and then differs from node to
node. Only the address depends on it: numbers are counted per node, see ports.py.

Source: spec/scheduler.md 4.4, 4.5.
"""

from __future__ import annotations

import numpy as np

from daemon.model.resources import Port
from daemon.scheduler.targets import column_of, key_of
from daemon.state.columns import Mask
from daemon.state.fleet import Fleet

_OWN = ("", "default")


def is_own(host_network: str) -> bool:
    """True where the port has the node's own address."""
    return host_network in _OWN


def offering(fleet: Fleet, host_network: str) -> Mask:
    """Rows whose node has that host network."""
    if key_of(host_network) is None:
        return _has(fleet, host_network)
    found = np.zeros(fleet.length, dtype=np.bool_)
    column = column_of(fleet, host_network)
    if column is None:
        return found
    for code, alias in enumerate(column.vocabulary):
        named = column.codes == code
        if named.any():
            found |= named & _has(fleet, alias)
    return found


def address_of(fleet: Fleet, row: int, port: Port) -> str:
    """Address of a port on a node that offers its host network."""
    alias = port.host_network
    if key_of(alias) is not None:
        chosen = column_of(fleet, alias)
        alias = (chosen.get(row) if chosen is not None else None) or ""
    if is_own(alias):
        return fleet.host_ips[row]
    column = fleet.column(f"network.{alias}")
    return (column.get(row) if column is not None else None) or fleet.host_ips[row]


def _has(fleet: Fleet, alias: str) -> Mask:
    if is_own(alias):
        return fleet.alive
    column = fleet.column(f"network.{alias}")
    return np.zeros(fleet.length, dtype=np.bool_) if column is None else column.codes >= 0
