"""Functions on network addresses. Pure."""

from __future__ import annotations

import ipaddress

from daemon.jobspec.hcl.functions.registry import function

Net = ipaddress.IPv4Network | ipaddress.IPv6Network


def _net(prefix: str) -> Net:
    if "/" not in prefix:
        raise ValueError(f"{prefix!r} is not a prefix such as 10.0.0.0/8")
    return ipaddress.ip_network(prefix, strict=False)


def _subnet(net: Net, new_bits: int, number: int) -> Net:
    length = net.prefixlen + new_bits
    if new_bits < 0 or length > net.max_prefixlen:
        raise ValueError(f"{net} cannot be extended by {new_bits} bits")
    if not 0 <= number < 1 << new_bits:
        raise ValueError(f"{new_bits} bits do not hold the number {number}")
    start = int(net.network_address) + (number << (net.max_prefixlen - length))
    return ipaddress.ip_network(f"{type(net.network_address)(start)}/{length}")


@function("cidrhost", "string", "int")
def cidrhost(prefix: str, number: int) -> str:
    """Address of a host number; negative ones count from the end."""
    net = _net(prefix)
    at = number if number >= 0 else net.num_addresses + number
    if not 0 <= at < net.num_addresses:
        raise ValueError(f"{prefix} has no host number {number}")
    return str(net.network_address + at)


@function("cidrnetmask", "string")
def cidrnetmask(prefix: str) -> str:
    """Mask of an IPv4 prefix."""
    net = _net(prefix)
    if net.version != 4:
        raise ValueError("IPv6 has no network masks")
    return str(net.netmask)


@function("cidrsubnet", "string", "int", "int")
def cidrsubnet(prefix: str, new_bits: int, number: int) -> str:
    """One smaller network inside a prefix."""
    return str(_subnet(_net(prefix), new_bits, number))


@function("cidrsubnets", "string", rest="int")
def cidrsubnets(prefix: str, *new_bits: int) -> list[str]:
    """Consecutive smaller networks inside a prefix."""
    net = _net(prefix)
    result: list[str] = []
    at = int(net.network_address)
    for bits in new_bits:
        length = net.prefixlen + bits
        if bits < 1 or length > net.max_prefixlen:
            raise ValueError(f"{prefix} cannot be extended by {bits} bits")
        size = 1 << (net.max_prefixlen - length)
        at = -(-at // size) * size
        if at + size > int(net.network_address) + net.num_addresses:
            raise ValueError(f"{prefix} has no room for these networks")
        result.append(str(ipaddress.ip_network(f"{type(net.network_address)(at)}/{length}")))
        at += size
    return result
