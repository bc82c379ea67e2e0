"""Host networks: the machine's addresses that bear the names given by the operator. Pure.

Theory: a rule admits addresses of an interface, in a range, or both. A name without an address on this machine is not
offered, so that no job that asks for it comes here; when an address appears or goes, the node registers anew.

Source: spec/nomad-surface.md D (client.host_network); spec/scheduler.md 4.4, 4.5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from daemon.model.node import HostNetwork
from daemon.node.config import HostNetworkRule


def host_networks(
    rules: Mapping[str, HostNetworkRule], addresses: Iterable[tuple[str, str]]
) -> dict[str, HostNetwork]:
    """The networks that have an address. `addresses`: (interface, address), in the order of preference."""
    known = list(addresses)
    found = {}
    for name, rule in sorted(rules.items()):
        admitted = tuple(
            dict.fromkeys(address for device, address in known if _admits(rule, device, address))
        )
        if admitted:
            found[name] = HostNetwork(name=name, addresses=admitted, reserved_ports=rule.reserved_ports)
    return found


def _admits(rule: HostNetworkRule, device: str, address: str) -> bool:
    if rule.interface and device != rule.interface:
        return False
    # an address of the other IP version is in no range, and no error.
    return not rule.cidr or ipaddress.ip_address(address) in ipaddress.ip_network(rule.cidr, strict=False)
