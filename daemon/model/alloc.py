"""Allocation: one placed task group; and the block of columns in which bulk placements are stored. Pure.

Theory: a fresh placement of n allocations of one group is one `AllocBlock`: what they share once, and columns
for what differs. `AllocBlock.row(i)` materialises the i-th allocation when somebody reads it or when it first
changes on its own. An allocation refers to (job id, version) and never embeds the job.

Source: spec/scheduler.md 1.5; architecture.md "State".
"""

from __future__ import annotations

from array import array

from daemon.model.base import Wire
from daemon.model.enums import CLIENT_TERMINAL, SERVER_TERMINAL, ClientStatus, DesiredStatus
from daemon.model.metrics import AllocMetric
from daemon.model.resources import AllocatedPort, AllocatedResources, AllocatedShared
from daemon.model.tasks import TaskState


class DesiredTransition(Wire, frozen=True, kw_only=True):
    """What the servers ask of the scheduler for this allocation."""

    migrate: bool = False
    reschedule: bool = False
    force_reschedule: bool = False
    no_shutdown_delay: bool = False
    migrate_disable_placement: bool = False


class AllocHealth(Wire, frozen=True, kw_only=True):
    """Health as judged on the node (`healthy` None: not yet)."""

    healthy: bool | None = None
    timestamp_ns: int = 0
    canary: bool = False
    modify_index: int = 0


class RescheduleEvent(Wire, frozen=True, kw_only=True):
    """One replacement of a failed allocation."""

    reschedule_time_ns: int
    prev_alloc_id: str
    prev_node_id: str
    delay_ns: int


class RescheduleTracker(Wire, frozen=True, kw_only=True):
    """History of replacements. `last_reschedule`: `ok` or `no placement`."""

    events: tuple[RescheduleEvent, ...] = ()
    last_reschedule: str = ""


class NetworkStatus(Wire, frozen=True, kw_only=True):
    """Address of the allocation's own network, when it has one."""

    interface_name: str = ""
    address: str = ""


class Allocation(Wire, frozen=True, kw_only=True):
    """One placed task group on one node."""

    id: str
    name: str
    namespace: str = "default"
    job_id: str
    job_version: int = 0
    #: job_modify_index of the spec it was made from: equal means "nothing to update".
    job_spec_index: int = 0
    task_group: str
    node_id: str
    node_name: str = ""
    eval_id: str = ""
    deployment_id: str = ""
    allocated_resources: AllocatedResources = AllocatedResources()
    desired_status: DesiredStatus = DesiredStatus.RUN
    desired_description: str = ""
    desired_transition: DesiredTransition = DesiredTransition()
    client_status: ClientStatus = ClientStatus.PENDING
    client_description: str = ""
    task_states: dict[str, TaskState] = {}
    deployment_status: AllocHealth | None = None
    reschedule_tracker: RescheduleTracker | None = None
    previous_allocation: str = ""
    next_allocation: str = ""
    followup_eval_id: str = ""
    #: when the servers lost sight of it: unknown, or lost with its node. 0: never, or that has been settled.
    away_since_ns: int = 0
    preempted_allocations: tuple[str, ...] = ()
    preempted_by_allocation: str = ""
    network_status: NetworkStatus | None = None
    metrics: AllocMetric | None = None
    create_index: int = 0
    modify_index: int = 0
    alloc_modify_index: int = 0
    create_time_ns: int = 0
    modify_time_ns: int = 0

    @property
    def server_terminal(self) -> bool:
        """The servers want it gone."""
        return self.desired_status in SERVER_TERMINAL

    @property
    def client_terminal(self) -> bool:
        """The node says that it is over (or it is lost)."""
        return self.client_status in CLIENT_TERMINAL

    @property
    def terminal(self) -> bool:
        """Over on either side."""
        return self.server_terminal or self.client_terminal

    @property
    def index(self) -> int:
        """The number in its name: `job.group[3]` is 3."""
        return int(self.name[self.name.rindex("[") + 1 : -1])


class PortColumn(Wire, frozen=True, kw_only=True):
    """One dynamic or static port label for all rows of a block. `values`: uint16 each, little endian.

    `to` -1: the same number inside as outside.
    """

    label: str
    to: int
    values: bytes
    #: host address per node of `AllocBlock.nodes`, or one for all.
    host_ips: tuple[str, ...] = ()
    static: bool = False
    ignore_collision: bool = False

    def port(self, row: int, node: int) -> AllocatedPort:
        """The port of one row; `node` is its position in `AllocBlock.nodes`."""
        value = int.from_bytes(self.values[2 * row : 2 * row + 2], "little")
        return AllocatedPort(
            label=self.label,
            value=value,
            to=value if self.to < 0 else self.to,
            host_ip=self.host_ips[node if len(self.host_ips) > 1 else 0] if self.host_ips else "",
            static=self.static,
            ignore_collision=self.ignore_collision,
        )


class AllocBlock(Wire, frozen=True, kw_only=True):
    """`count` fresh placements of one group: shared facts once, and columns (little endian)."""

    namespace: str
    job_id: str
    job_version: int
    job_spec_index: int
    task_group: str
    eval_id: str
    deployment_id: str = ""
    count: int
    #: 16 bytes of UUID per row.
    ids: bytes
    #: distinct nodes, and per row the position in them (uint32).
    nodes: tuple[str, ...]
    node_names: tuple[str, ...]
    node_epochs: tuple[int, ...]
    node_rows: bytes
    #: per row the number in the name (uint32).
    indexes: bytes
    ports: tuple[PortColumn, ...] = ()
    #: resources without ports, the same for all rows.
    allocated_resources: AllocatedResources
    metrics: AllocMetric | None = None
    canary: bool = False
    create_index: int = 0
    create_time_ns: int = 0

    def alloc_id(self, row: int) -> str:
        """UUID of one row as text."""
        text = self.ids[16 * row : 16 * row + 16].hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def resources_of(self, row: int) -> AllocatedResources:
        """What the allocation of that row was given, with its ports."""
        shared = self.allocated_resources
        if not self.ports:
            return shared
        node = _u32(self.node_rows, row)
        ports = tuple(column.port(row, node) for column in self.ports)
        return AllocatedResources(
            tasks=shared.tasks,
            shared=AllocatedShared(disk_mb=shared.shared.disk_mb, ports=ports),
            usage=shared.usage,
        )

    def row(self, row: int) -> Allocation:
        """Materialise one allocation as it was placed."""
        node = _u32(self.node_rows, row)
        return self.row_on(row, self.nodes[node], self.node_names[node])

    def row_on(self, row: int, node_id: str, node_name: str) -> Allocation:
        """The same, for a block whose node strings are kept elsewhere."""
        return Allocation(
            id=self.alloc_id(row),
            name=f"{self.job_id}.{self.task_group}[{_u32(self.indexes, row)}]",
            namespace=self.namespace,
            job_id=self.job_id,
            job_version=self.job_version,
            job_spec_index=self.job_spec_index,
            task_group=self.task_group,
            node_id=node_id,
            node_name=node_name,
            eval_id=self.eval_id,
            deployment_id=self.deployment_id,
            allocated_resources=self.resources_of(row),
            deployment_status=AllocHealth(canary=True) if self.canary else None,
            metrics=self.metrics,
            create_index=self.create_index,
            modify_index=self.create_index,
            alloc_modify_index=self.create_index,
            create_time_ns=self.create_time_ns,
            modify_time_ns=self.create_time_ns,
        )


def _u32(column: bytes, row: int) -> int:
    return int.from_bytes(column[4 * row : 4 * row + 4], "little")


def u32_column(values: list[int]) -> bytes:
    """Pack numbers as a uint32 column."""
    packed = array("I", values)
    return packed.tobytes()
