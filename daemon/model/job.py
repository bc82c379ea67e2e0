"""Job, task group, task: what the user asks for. Pure.

Source: spec/scheduler.md 1.1-1.3; names on the wire: spec/nomad-surface.md B2, C2.
"""

from __future__ import annotations

from typing import Any

from daemon.model.base import Wire
from daemon.model.enums import JobStatus, JobType
from daemon.model.policies import (
    Affinity,
    Constraint,
    DisconnectStrategy,
    EphemeralDisk,
    Lifecycle,
    LogRotation,
    MigrateStrategy,
    ParameterizedConfig,
    PeriodicConfig,
    ReschedulePolicy,
    RestartPolicy,
    Spread,
    UpdateStrategy,
)
from daemon.model.resources import Network, Resources
from daemon.model.scaling import ScalingPolicy


class VolumeMount(Wire, frozen=True, kw_only=True):
    """Where a task sees a volume of its group."""

    volume: str
    destination: str
    read_only: bool = False
    propagation_mode: str = "private"


class VolumeRequest(Wire, frozen=True, kw_only=True):
    """A volume that a group needs. Only host volumes for now.

    `per_alloc`: each allocation has its own, named by its number; `sticky`: a replacement comes back to its volume.
    The modes are what is asked of a dynamic volume (daemon/model/volume.py); "" is the plain one.
    """

    name: str
    type: str = "host"
    source: str = ""
    read_only: bool = False
    sticky: bool = False
    per_alloc: bool = False
    access_mode: str = ""
    attachment_mode: str = ""


class DispatchPayload(Wire, frozen=True, kw_only=True):
    """File, relative to the task's local directory, that receives the dispatch payload."""

    file: str


class Task(Wire, frozen=True, kw_only=True):
    """One driver-run process."""

    name: str
    driver: str
    user: str = ""
    config: dict[str, Any] = {}
    env: dict[str, str] = {}
    meta: dict[str, str] = {}
    resources: Resources = Resources()
    constraints: tuple[Constraint, ...] = ()
    affinities: tuple[Affinity, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    restart_policy: RestartPolicy | None = None
    log_config: LogRotation = LogRotation()
    lifecycle: Lifecycle | None = None
    leader: bool = False
    kill_timeout_ns: int = 5_000_000_000
    kill_signal: str = ""
    shutdown_delay_ns: int = 0
    dispatch_payload: DispatchPayload | None = None
    #: group ports that came from this task's classic `resources.network`: label in the task -> label
    #: in the group. The task sees NOMAD_PORT_<label in the task>.
    port_labels: dict[str, str] = {}


class VersionTag(Wire, frozen=True, kw_only=True):
    """A name that keeps a version of a job from being forgotten."""

    name: str
    description: str = ""
    tagged_time_ns: int = 0


class TaskGroup(Wire, frozen=True, kw_only=True):
    """Tasks that are placed together on one node, `count` times."""

    name: str
    count: int = 1
    tasks: tuple[Task, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    affinities: tuple[Affinity, ...] = ()
    spreads: tuple[Spread, ...] = ()
    networks: tuple[Network, ...] = ()
    volumes: dict[str, VolumeRequest] = {}
    restart_policy: RestartPolicy = RestartPolicy()
    reschedule_policy: ReschedulePolicy | None = None
    update: UpdateStrategy | None = None
    migrate: MigrateStrategy | None = None
    ephemeral_disk: EphemeralDisk = EphemeralDisk()
    disconnect: DisconnectStrategy | None = None
    meta: dict[str, str] = {}
    shutdown_delay_ns: int = 0
    max_run_duration_ns: int = 0
    scaling: ScalingPolicy | None = None
    #: ours, batch only: how many allocations of the group run at once; 0: all.
    max_running: int = 0

    def task(self, name: str) -> Task | None:
        """The task of that name."""
        return next((task for task in self.tasks if task.name == name), None)


class Job(Wire, frozen=True, kw_only=True):
    """What the user asks for: groups of tasks, with rules. (namespace, id) is its identity."""

    id: str
    name: str = ""
    namespace: str = "default"
    region: str = "global"
    type: JobType = JobType.SERVICE
    priority: int = 50
    all_at_once: bool = False
    datacenters: tuple[str, ...] = ("*",)
    node_pool: str = "default"
    constraints: tuple[Constraint, ...] = ()
    affinities: tuple[Affinity, ...] = ()
    spreads: tuple[Spread, ...] = ()
    task_groups: tuple[TaskGroup, ...] = ()
    update: UpdateStrategy | None = None
    periodic: PeriodicConfig | None = None
    parameterized_job: ParameterizedConfig | None = None
    meta: dict[str, str] = {}
    #: compressed, see daemon.model.payload.
    payload: bytes = b""
    dispatched: bool = False
    parent_id: str = ""
    dispatch_idempotency_token: str = ""
    #: ours, of a periodic or parameterized job: how many of its children run at once; 0: all.
    max_running: int = 0
    stop: bool = False
    stable: bool = False
    version: int = 0
    version_tag: VersionTag | None = None
    #: ours: this version repeats that one, which was known to be good, and needs no canaries; -1: it is new.
    reverts_to: int = -1
    status: JobStatus = JobStatus.PENDING
    status_description: str = ""
    submit_time_ns: int = 0
    create_index: int = 0
    modify_index: int = 0
    job_modify_index: int = 0

    def group(self, name: str) -> TaskGroup | None:
        """The task group of that name."""
        return next((group for group in self.task_groups if group.name == name), None)

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, id)."""
        return (self.namespace, self.id)


class JobSource(Wire, frozen=True, kw_only=True):
    """The text a job version was made from, shown back by `job inspect -hcl`."""

    source: str = ""
    format: str = "hcl2"
    variables: dict[str, str] = {}
