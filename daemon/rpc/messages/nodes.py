"""Messages about nodes, and those that nodes send. Pure. Source: spec/nomad-surface.md B3."""

from __future__ import annotations

from daemon.model.alloc import Allocation
from daemon.model.base import Wire
from daemon.model.job import Job
from daemon.model.node import DriverInfo, Node
from daemon.rpc.messages.base import Answer, Query, Write


class NodeStub(Wire, frozen=True, kw_only=True):
    """A node in a list."""

    id: str
    name: str
    datacenter: str
    node_class: str
    node_pool: str
    address: str = ""
    version: str = ""
    drain: bool = False
    scheduling_eligibility: str = "eligible"
    #: why it takes no new work although it is eligible.
    quarantine: str = ""
    status: str = ""
    status_description: str = ""
    drivers: dict[str, DriverInfo] = {}
    create_index: int = 0
    modify_index: int = 0


class NodeListResponse(Answer, frozen=True, kw_only=True):
    """Nodes in the order of their ids."""

    nodes: tuple[NodeStub, ...] = ()


class NodeResponse(Answer, frozen=True, kw_only=True):
    """One node, its secret blanked, with what its allocations hold."""

    node: Node
    allocated_cpu: int = 0
    allocated_memory_mb: int = 0
    allocated_disk_mb: int = 0
    allocations: int = 0


class NodeEligibilityRequest(Write, frozen=True, kw_only=True):
    """Allow or forbid new work on a node."""

    node_id: str
    eligibility: str


class DrainSpec(Wire, frozen=True, kw_only=True):
    """The drain that is asked for. `deadline_ns`: 0 none, less than 0 at once."""

    deadline_ns: int = 0
    ignore_system_jobs: bool = False


class NodeDrainRequest(Write, frozen=True, kw_only=True):
    """Begin or change the drain of a node; without `drain_spec` end it. `mark_eligible` matters at the end only."""

    node_id: str
    drain_spec: DrainSpec | None = None
    mark_eligible: bool = False
    meta: dict[str, str] = {}


class NodeDrainResponse(Answer, frozen=True, kw_only=True):
    """`node_modify_index` is that of the node with its drain."""

    node_modify_index: int = 0
    eval_id: str = ""


class HostStatsResponse(Answer, frozen=True, kw_only=True):
    """Use of the machine now."""

    cpu_percent: float = 0.0
    memory_total_bytes: int = 0
    memory_used_bytes: int = 0
    memory_available_bytes: int = 0
    disk_total_bytes: int = 0
    disk_used_bytes: int = 0
    inodes_used_percent: float = 0.0
    uptime_s: float = 0.0
    timestamp_ns: int = 0


class NodeRegisterRequest(Write, frozen=True, kw_only=True):
    """A node presents itself; the first secret that a node id comes with is its own from then on."""

    node: Node


class NodeHeartbeatRequest(Write, frozen=True, kw_only=True):
    """Sign of life. `status` is `ready` unless the node says otherwise."""

    node_id: str
    secret_id: str
    status: str = "ready"


class NodeHeartbeatResponse(Answer, frozen=True, kw_only=True):
    """When to beat next, how often to report, and whether the server has never heard of the node."""

    heartbeat_ttl_ns: int = 3_000_000_000
    report_interval_ns: int = 200_000_000
    register_again: bool = False
    #: say again what became of every allocation: the servers had lost sight of the node.
    report_all: bool = False


class NodeAllocsRequest(Query, frozen=True, kw_only=True):
    """The allocations that a node must know of; blocks for changes."""

    node_id: str
    secret_id: str


class NodeAllocsResponse(Answer, frozen=True, kw_only=True):
    """Allocation id -> alloc_modify_index. What the node holds beside these is forgotten by the servers."""

    allocs: dict[str, int] = {}


class FetchAllocsRequest(Query, frozen=True, kw_only=True):
    """Whole allocations for a node that has seen newer indexes."""

    node_id: str
    secret_id: str
    alloc_ids: tuple[str, ...]


class FetchAllocsResponse(Answer, frozen=True, kw_only=True):
    """With each job version that they refer to, once."""

    allocations: tuple[Allocation, ...] = ()
    jobs: tuple[Job, ...] = ()


class NodeUpdateAllocRequest(Write, frozen=True, kw_only=True):
    """What a node says of its allocations, batched. Fields as in daemon.state.commands.ClientUpdate."""

    node_id: str
    secret_id: str
    updates: tuple[Allocation, ...]
