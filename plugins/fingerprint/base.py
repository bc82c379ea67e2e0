"""The contract of a fingerprinter: a probe that says what this machine is and has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import msgspec


class NodeResources(msgspec.Struct, frozen=True, kw_only=True):
    """Resources found; None: this probe says nothing about it."""

    cpu_mhz: int | None = None
    cpu_cores: int | None = None
    #: their numbers on the machine.
    core_ids: tuple[int, ...] | None = None
    #: MHz of one core.
    core_mhz: int | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    #: (device, address, speed in Mbit/s) of each usable interface, the default one first.
    networks: tuple[tuple[str, str, int], ...] | None = None
    #: (device, address) of all interfaces that are up, the best of each device first.
    addresses: tuple[tuple[str, str], ...] | None = None


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one probe found. `attributes` replace all that the same probe said before."""

    attributes: dict[str, str] = {}
    resources: NodeResources = NodeResources()
    #: unique link facts, e.g. the address to advertise.
    links: dict[str, str] = {}


class ProbeContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe may use. Roots are changed by tests to recorded trees."""

    data_dir: Path
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    etc: Path = Path("/etc")
    #: client settings that override what is found: cpu_total_compute, memory_total_mb, disk_total_mb,
    #: network_interface, network_speed.
    overrides: dict[str, Any] = {}


class Fingerprinter(ABC):
    """One probe. `probe` may block for up to 5 s; it runs in a thread."""

    name: ClassVar[str]
    #: seconds between two runs; 0: only at start.
    period_s: ClassVar[float] = 0

    @abstractmethod
    def probe(self, context: ProbeContext) -> ProbeResult:
        """Find the facts. Raises OSError and the like freely: the caller reports it and goes on."""
