"""The interface that this machine is reached by, its address and speed.

Theory: the default route names it; the client setting `network_interface` overrides. IPv4 comes before
IPv6, and link-local addresses count only when there is nothing else. Further interfaces are listed if
hardware is behind them: bridges and veth pairs of container engines are not this machine's addresses.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from plugins.fingerprint.base import Fingerprinter, NodeResources, ProbeContext, ProbeResult
from plugins.fingerprint.files import number_of, override, text_of

#: Mbit/s, where the kernel does not say.
ASSUMED_SPEED_MBITS: Final = 1000
#: what drivers report when they do not know.
UNKNOWN_SPEEDS: Final = (-1, 0, 65535, 4294967295)
_RTF_UP: Final = 0x1
_RTF_REJECT: Final = 0x200
Addresses = dict[str, list[str]]


def machine_addresses() -> Addresses:
    """IPv4 and IPv6 addresses of each interface that is up, in the kernel's order."""
    import psutil

    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    return {
        name: [
            entry.address.partition("%")[0]
            for entry in entries
            if entry.family in (socket.AF_INET, socket.AF_INET6)
        ]
        for name, entries in psutil.net_if_addrs().items()
        if name in up
    }


class NetworkProbe(Fingerprinter):
    """unique.network.ip-address and the node's networks."""

    name: ClassVar[str] = "network"
    period_s: ClassVar[float] = 60

    def __init__(self, addresses: Callable[[], Addresses] = machine_addresses) -> None:
        self.addresses = addresses

    def probe(self, context: ProbeContext) -> ProbeResult:
        """Choose the interface. Raises ValueError when the one that was asked for cannot be used."""
        known = {name: ordered(found) for name, found in self.addresses().items()}
        chosen = str(context.overrides.get("network_interface") or "")
        if chosen and not known.get(chosen):
            names = ", ".join(sorted(name for name, found in known.items() if found)) or "none"
            raise ValueError(
                f"client.network_interface {chosen!r} is not up or has no address (usable: {names})"
            )
        addresses = tuple((name, address) for name in sorted(known) for address in known[name])
        device = chosen or _default(context, known)
        if not device:
            return ProbeResult(resources=NodeResources(networks=(), addresses=addresses))
        others = [
            name for name in sorted(known) if name != device and known[name] and _is_hardware(context, name)
        ]
        networks = tuple((name, known[name][0], _speed(context, name)) for name in (device, *others))
        address = networks[0][1]
        return ProbeResult(
            attributes={"unique.network.ip-address": address},
            resources=NodeResources(networks=networks, addresses=addresses),
            links={"unique.network.interface": device},
        )


def ordered(addresses: list[str]) -> list[str]:
    """Best address first: IPv4 before IPv6, link-local last, the kernel's order within."""
    kept = []
    for text in addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        kept.append(((address.is_link_local, address.version), text))
    return [text for _, text in sorted(kept, key=lambda item: item[0])]


def _default(context: ProbeContext, known: Addresses) -> str:
    """The default route's interface, else the first with hardware, else any other, else loopback."""
    for name in default_devices(context.proc / "net"):
        if known.get(name):
            return name
    usable = [name for name in sorted(known) if known[name]]
    outer = [name for name in usable if not ipaddress.ip_address(known[name][0]).is_loopback]
    hardware = [name for name in outer if _is_hardware(context, name)]
    return next(iter(hardware or outer or usable), "")


def default_devices(net: Path) -> list[str]:
    """Devices of default routes, lowest metric first, IPv4 before IPv6."""
    found: list[tuple[int, int, str]] = []
    for line in text_of(net / "route").splitlines()[1:]:
        words = line.split()
        is_default = len(words) >= 8 and words[1] == "00000000" and words[7] == "00000000"
        if is_default and int(words[3], 16) & _RTF_UP:
            found.append((4, int(words[6]), words[0]))
    for line in text_of(net / "ipv6_route").splitlines():
        words = line.split()
        if len(words) >= 10 and words[0] == "0" * 32 and words[1] == "00":
            flags = int(words[8], 16)
            if flags & _RTF_UP and not flags & _RTF_REJECT:
                found.append((6, int(words[5], 16), words[9]))
    return [device for _, _, device in sorted(found)]


def _is_hardware(context: ProbeContext, device: str) -> bool:
    """True when the kernel knows a device behind the interface."""
    return (context.sys / "class/net" / device / "device").exists()


def _speed(context: ProbeContext, device: str) -> int:
    wanted = override(context, "network_speed")
    if wanted:
        return wanted
    found = number_of(context.sys / "class/net" / device / "speed")
    return ASSUMED_SPEED_MBITS if found in UNKNOWN_SPEEDS else found
