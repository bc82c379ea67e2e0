"""What tasks ask for and what allocations were given. Integers: MHz, MB, ports. Pure.

Source: spec/scheduler.md 1.3, 4.5, 4.6.
"""

from __future__ import annotations

from daemon.model.base import Wire
from daemon.model.policies import Affinity, Constraint


class Port(Wire, frozen=True, kw_only=True):
    """A port: `value` is the static port (0: dynamic), `to` the port inside (0: same, -1: host's)."""

    label: str
    value: int = 0
    to: int = 0
    host_network: str = "default"
    ignore_collision: bool = False


class DNSConfig(Wire, frozen=True, kw_only=True):
    """Resolver settings of an allocation's network."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Network(Wire, frozen=True, kw_only=True):
    """A group's network ask. Static ports are reserved, the rest is dynamic."""

    mode: str = "host"
    hostname: str = ""
    dns: DNSConfig | None = None
    reserved_ports: tuple[Port, ...] = ()
    dynamic_ports: tuple[Port, ...] = ()
    mbits: int = 0


class DeviceRequest(Wire, frozen=True, kw_only=True):
    """A device ask: `type`, `vendor/type` or `vendor/type/name`."""

    name: str
    count: int = 1
    constraints: tuple[Constraint, ...] = ()
    affinities: tuple[Affinity, ...] = ()


class Resources(Wire, frozen=True, kw_only=True):
    """A task's ask."""

    cpu: int = 100
    cores: int = 0
    memory_mb: int = 300
    memory_max_mb: int = 0
    secrets_mb: int = 0
    devices: tuple[DeviceRequest, ...] = ()


class AllocatedPort(Wire, frozen=True, kw_only=True):
    """A port that an allocation holds. Only a port that is not `static` may be moved to another number."""

    label: str
    value: int
    to: int = 0
    host_ip: str = ""
    static: bool = False
    ignore_collision: bool = False


class AllocatedDevice(Wire, frozen=True, kw_only=True):
    """Instances of one device group that a task was given."""

    vendor: str
    type: str
    name: str
    device_ids: tuple[str, ...] = ()


class AllocatedTask(Wire, frozen=True, kw_only=True):
    """What one task of an allocation was given."""

    cpu_shares: int = 0
    reserved_cores: tuple[int, ...] = ()
    memory_mb: int = 0
    memory_max_mb: int = 0
    devices: tuple[AllocatedDevice, ...] = ()


class AllocatedShared(Wire, frozen=True, kw_only=True):
    """What the allocation's tasks share."""

    disk_mb: int = 0
    ports: tuple[AllocatedPort, ...] = ()


class Usage(Wire, frozen=True, kw_only=True):
    """Resources as the fit check counts them (section 4.6)."""

    cpu: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    cores: int = 0


class AllocatedResources(Wire, frozen=True, kw_only=True):
    """All that an allocation was given. `usage` is what the fit check counts for it, with lifecycle hooks applied."""

    tasks: dict[str, AllocatedTask] = {}
    shared: AllocatedShared = AllocatedShared()
    usage: Usage = Usage()
