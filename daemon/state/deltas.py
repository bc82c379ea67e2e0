"""What makes a fleet follow another: node facts and absolute usage, numbered. Pure.

Theory: a delta carries absolute values per row, so that deltas coalesce and a repeated one does no harm.
`since` is the sequence that it builds on: applying it to an older fleet would leave a gap, and is refused.
A change of `epoch` (new tracker, snapshot installed) or a gap asks for a full one.

Source: architecture.md "Fleet".
"""

from __future__ import annotations

from daemon.model.base import Wire
from daemon.model.enums import Eligibility, NodeStatus
from daemon.model.errors import Conflict
from daemon.model.node import Node, NodeDevice, NodeResources
from daemon.model.resources import Usage

#: `NodeFacts.state`: 0 takes new work, the rest say why not.
READY = 0
STATE_WORDS = ("ready", "initializing", "down", "disconnected", "ineligible", "draining", "quarantined")
UNLIMITED = 2**62

DRIVER_DETECTED = 1
DRIVER_HEALTHY = 2
VOLUME_WRITABLE = 1
VOLUME_READ_ONLY = 2


class GapError(Conflict):
    """The delta does not follow on this fleet: ask for a full one."""


class NodeFacts(Wire, frozen=True, kw_only=True):
    """A node as the columns need it."""

    row: int
    id: str
    name: str
    datacenter: str
    node_class: str
    pool: str
    computed_class: str
    epoch: int
    state: int
    #: cpu MHz, memory MB, disk MB, allocations: totals less what is reserved.
    capacity: tuple[int, int, int, int]
    port_min: int
    port_max: int
    host_ip: str
    attributes: dict[str, str]
    meta: dict[str, str]
    drivers: dict[str, int]
    volumes: dict[str, int]
    modes: tuple[str, ...]
    #: host network -> address of its ports.
    networks: dict[str, str] = {}
    reserved_ports: tuple[int, ...]
    #: numbers of the cores that jobs may reserve.
    cores: tuple[int, ...] = ()
    core_mhz: int = 0
    devices: tuple[NodeDevice, ...] = ()


class FleetDelta(Wire, frozen=True, kw_only=True):
    """Rows that changed between `since` and `sequence`, or all of them (`full`)."""

    epoch: int
    since: int
    sequence: int
    full: bool = False
    #: index of the replicated log that the values were taken at.
    index: int = 0
    #: rows in use, with or without a node.
    rows: int = 0
    nodes: tuple[NodeFacts, ...] = ()
    #: rows whose node left the state.
    gone: tuple[int, ...] = ()
    #: uint32 rows, then per resource (4 wanted, 4 still stopping) one int64 column.
    usage_rows: bytes = b""
    usage: bytes = b""
    #: row -> uint16 ports held by allocations.
    ports: dict[int, bytes] = {}
    #: row -> cores and instances of devices held by allocations.
    units: dict[int, tuple[str, ...]] = {}
    #: evaluations whose plans the receiver had reserved for itself, and that these figures account for.
    settled: tuple[str, ...] = ()


def state_of(node: Node) -> int:
    """Position in STATE_WORDS."""
    if node.status != NodeStatus.READY:
        return STATE_WORDS.index(node.status.value)
    if node.drain_strategy is not None:
        return STATE_WORDS.index("draining")
    if node.scheduling_eligibility != Eligibility.ELIGIBLE:
        return STATE_WORDS.index("ineligible")
    return STATE_WORDS.index("quarantined") if node.quarantined else READY


def facts_of(node: Node, row: int) -> NodeFacts:
    """Columns' view of a node record."""
    total, kept = node.node_resources, node.reserved
    return NodeFacts(
        row=row,
        id=node.id,
        name=node.name,
        datacenter=node.datacenter,
        node_class=node.node_class,
        pool=node.node_pool,
        computed_class=node.computed_class,
        epoch=node.epoch,
        state=state_of(node),
        capacity=(
            max(0, total.cpu_shares - kept.cpu_shares),
            max(0, total.memory_mb - kept.memory_mb),
            max(0, total.disk_mb - kept.disk_mb),
            node.node_max_allocs or UNLIMITED,
        ),
        port_min=total.min_dynamic_port,
        port_max=total.max_dynamic_port,
        host_ip=next((network.ip for network in total.networks if network.mode == "host"), ""),
        attributes=node.attributes,
        meta=node.meta,
        drivers={
            name: DRIVER_HEALTHY if info.healthy else DRIVER_DETECTED
            for name, info in node.drivers.items()
            if info.detected
        },
        volumes={
            name: VOLUME_READ_ONLY if volume.read_only else VOLUME_WRITABLE
            for name, volume in node.host_volumes.items()
        },
        modes=tuple(sorted({network.mode for network in total.networks})),
        networks={
            name: network.addresses[0] for name, network in total.host_networks.items() if network.addresses
        },
        reserved_ports=tuple(sorted({*kept.ports, *_kept_on_networks(total)})),
        cores=tuple(core for core in total.core_ids or range(total.total_cores) if core not in kept.cores),
        core_mhz=total.core_mhz,
        devices=total.devices,
    )


def _kept_on_networks(total: NodeResources) -> set[int]:
    """Ports are counted per node whatever the address: one that a network keeps back is kept back on all."""
    return {port for network in total.host_networks.values() for port in network.reserved_ports}


def amounts(usage: Usage) -> tuple[int, int, int, int]:
    """Usage of one allocation in the order of the columns."""
    return (usage.cpu, usage.memory_mb, usage.disk_mb, 1)
