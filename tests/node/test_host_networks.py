"""Which addresses of a machine bear the names that its operator gave."""

from __future__ import annotations

import pytest

from daemon.node.config import HostNetworkRule
from daemon.node.hostnets import host_networks

ADDRESSES = (
    ("eth0", "10.0.0.7"),
    ("eth0", "fe80::1"),
    ("eth1", "203.0.113.9"),
    ("eth1", "10.0.1.9"),
    ("lo", "127.0.0.1"),
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (HostNetworkRule(cidr="10.0.0.0/8"), ("10.0.0.7", "10.0.1.9")),
        (HostNetworkRule(interface="eth1"), ("203.0.113.9", "10.0.1.9")),
        (HostNetworkRule(cidr="10.0.0.0/8", interface="eth1"), ("10.0.1.9",)),
        (HostNetworkRule(cidr="10.0.0.7/8", interface="eth0"), ("10.0.0.7",)),
        (HostNetworkRule(cidr="fe80::/10"), ("fe80::1",)),
    ],
)
def test_a_rule_admits_by_range_and_interface(rule: HostNetworkRule, expected: tuple[str, ...]) -> None:
    assert host_networks({"n": rule}, ADDRESSES)["n"].addresses == expected


def test_a_name_without_an_address_is_not_offered_and_reserved_ports_travel() -> None:
    rules = {
        "none": HostNetworkRule(cidr="192.168.0.0/16"),
        "lo": HostNetworkRule(interface="lo", reserved_ports=(22, 80)),
    }
    found = host_networks(rules, ADDRESSES)
    assert list(found) == ["lo"] and found["lo"].reserved_ports == (22, 80)
