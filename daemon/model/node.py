"""Node: the record of a machine. Pure.

Source: spec/scheduler.md 1.4; names: spec/nomad-surface.md B3.
"""

from __future__ import annotations

from daemon.model.base import Wire
from daemon.model.enums import Eligibility, NodeStatus


class DriverInfo(Wire, frozen=True, kw_only=True):
    """State of one driver on a node."""

    detected: bool = False
    healthy: bool = False
    health_description: str = ""
    attributes: dict[str, str] = {}
    update_time_ns: int = 0


class HostVolume(Wire, frozen=True, kw_only=True):
    """A host directory that the operator offers to jobs."""

    name: str
    path: str
    read_only: bool = False


class NodeNetwork(Wire, frozen=True, kw_only=True):
    """One network interface usable by tasks."""

    device: str
    ip: str
    mode: str = "host"
    mbits: int = 1000


class DeviceInstance(Wire, frozen=True, kw_only=True):
    """One device."""

    id: str
    healthy: bool = True
    health_description: str = ""


class NodeDevice(Wire, frozen=True, kw_only=True):
    """A group of equal devices. An attribute's value may carry a unit: `16 GiB`, `1590 MHz`."""

    vendor: str
    type: str
    name: str
    attributes: dict[str, str] = {}
    instances: tuple[DeviceInstance, ...] = ()

    @property
    def key(self) -> str:
        """vendor/type/name."""
        return f"{self.vendor}/{self.type}/{self.name}"


class HostNetwork(Wire, frozen=True, kw_only=True):
    """A name by which jobs choose the address of a port. `addresses`: the best first."""

    name: str
    addresses: tuple[str, ...] = ()
    reserved_ports: tuple[int, ...] = ()


class NodeResources(Wire, frozen=True, kw_only=True):
    """Totals of a node, before what is reserved. MHz, MB."""

    cpu_shares: int = 0
    total_cores: int = 0
    #: numbers of the cores; none: 0 to total_cores.
    core_ids: tuple[int, ...] = ()
    memory_mb: int = 0
    disk_mb: int = 0
    networks: tuple[NodeNetwork, ...] = ()
    devices: tuple[NodeDevice, ...] = ()
    host_networks: dict[str, HostNetwork] = {}
    min_dynamic_port: int = 20000
    max_dynamic_port: int = 32000

    @property
    def core_mhz(self) -> int:
        """What one core counts for."""
        return self.cpu_shares // self.total_cores if self.total_cores else 0


class NodeReserved(Wire, frozen=True, kw_only=True):
    """What the operator keeps back from jobs."""

    cpu_shares: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    cores: tuple[int, ...] = ()
    ports: tuple[int, ...] = ()


class DrainStrategy(Wire, frozen=True, kw_only=True):
    """A drain in progress. `deadline_ns` is a length of time: 0 none, less than 0 at once."""

    deadline_ns: int = 0
    ignore_system_jobs: bool = False
    started_at_ns: int = 0
    #: wall time at which what still runs is moved without regard for pacing; 0: never.
    force_deadline_ns: int = 0

    def overdue(self, now_ns: int) -> bool:
        """True when nothing is waited for any more."""
        return self.deadline_ns < 0 or 0 < self.force_deadline_ns <= now_ns


class DrainMetadata(Wire, frozen=True, kw_only=True):
    """The last drain of a node. `status`: draining, complete, or canceled."""

    started_at_ns: int
    updated_at_ns: int
    status: str
    meta: dict[str, str] = {}


class NodeQuarantine(Wire, frozen=True, kw_only=True):
    """The work of several jobs failed on the node. Without effect while `held_back` says why."""

    reason: str
    since_ns: int = 0
    held_back: str = ""


class NodeEvent(Wire, frozen=True, kw_only=True):
    """Something an operator wants to know about a node. The last 10 are kept."""

    message: str
    subsystem: str
    timestamp_ns: int
    details: dict[str, str] = {}


class Node(Wire, frozen=True, kw_only=True):
    """A machine that runs tasks."""

    id: str
    secret_id: str = ""
    name: str = ""
    datacenter: str = "dc1"
    node_class: str = ""
    node_pool: str = "default"
    http_addr: str = ""
    attributes: dict[str, str] = {}
    meta: dict[str, str] = {}
    drivers: dict[str, DriverInfo] = {}
    host_volumes: dict[str, HostVolume] = {}
    node_resources: NodeResources = NodeResources()
    reserved: NodeReserved = NodeReserved()
    node_max_allocs: int = 0
    drain_strategy: DrainStrategy | None = None
    last_drain: DrainMetadata | None = None
    scheduling_eligibility: Eligibility = Eligibility.ELIGIBLE
    status: NodeStatus = NodeStatus.INITIALIZING
    status_description: str = ""
    status_updated_at_ns: int = 0
    computed_class: str = ""
    quarantine: NodeQuarantine | None = None
    #: when an operator last ended a quarantine: failures before that count no more.
    pardoned_at_ns: int = 0
    events: tuple[NodeEvent, ...] = ()
    #: raised whenever the node's readiness or shape changes; plans carry it, apply drops what is stale.
    epoch: int = 0
    create_index: int = 0
    modify_index: int = 0

    @property
    def quarantined(self) -> bool:
        """True when it takes no new work because so much failed there."""
        return self.quarantine is not None and not self.quarantine.held_back

    @property
    def ready(self) -> bool:
        """True when new work may go there (spec/scheduler.md 1.4)."""
        return self.serving and not self.quarantined

    @property
    def serving(self) -> bool:
        """Ready, if it were not for a quarantine."""
        return (
            self.status == NodeStatus.READY
            and self.drain_strategy is None
            and self.scheduling_eligibility == Eligibility.ELIGIBLE
        )
