"""Registers the built-in fingerprinters."""

from __future__ import annotations

from plugins.fingerprint.base import Fingerprinter
from plugins.fingerprint.cgroup import CgroupProbe
from plugins.fingerprint.cpu import CpuProbe
from plugins.fingerprint.host import HostProbe
from plugins.fingerprint.memory import MemoryProbe
from plugins.fingerprint.network import NetworkProbe
from plugins.fingerprint.signals import SignalProbe
from plugins.fingerprint.storage import StorageProbe
from plugins.spec import hookimpl


@hookimpl
def encamp_fingerprinters() -> list[type[Fingerprinter]]:
    """Offer one probe for each kind of fact."""
    return [CgroupProbe, CpuProbe, HostProbe, MemoryProbe, NetworkProbe, SignalProbe, StorageProbe]
