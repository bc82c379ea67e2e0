"""Commands: the entries of the replicated log, the only things that change the state.

Theory: an entry carries all ids and the leader's time; `apply` reads no clock and makes no ids. The envelope
has a schema version; an entry of a later version is refused, never skipped.
Pure.

Source: architecture.md "State"; spec/scheduler.md 1.5-1.8, 11.
"""

from __future__ import annotations

from daemon.model.alloc import Allocation, AllocBlock, AllocHealth, DesiredTransition, NetworkStatus
from daemon.model.base import Strict
from daemon.model.deployment import Deployment, DeploymentChange
from daemon.model.enums import ClientStatus, Eligibility, NodeStatus
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, JobSource
from daemon.model.node import DrainStrategy, Node, NodeEvent, NodeQuarantine
from daemon.model.plan import AllocMark, AllocStop, InPlaceUpdate, Plan
from daemon.model.scheduler_config import SchedulerConfig
from daemon.model.scopes import Namespace, NodePool
from daemon.model.tasks import TaskState
from daemon.model.volume import DynamicVolume

#: raised with every change of the shape or the meaning of entries.
SCHEMA = 1


class Command(Strict, frozen=True, kw_only=True, tag_field="Kind", tag=True):
    """Base of all commands. `time_ns` is the leader's wall clock and never goes back."""

    time_ns: int


class Noop(Command, frozen=True, kw_only=True):
    """Does nothing; commits what was before it."""


class ClusterInit(Command, frozen=True, kw_only=True):
    """The first entry of a cluster's life."""

    cluster_id: str


class JobRegister(Command, frozen=True, kw_only=True):
    """Create a job or make a new version of it. An equal spec makes no new version.

    The evaluation is created in any case. `enforce_index`: None, or the job_modify_index that must be current
    (0: must not exist); otherwise Conflict.
    """

    job: Job
    source: JobSource | None = None
    evaluation: Evaluation | None = None
    enforce_index: int | None = None
    #: a periodic job: when it is due first, by the leader's clock and time zones.
    next_launch_ns: int = 0


class JobDeregister(Command, frozen=True, kw_only=True):
    """Stop a job (a new version with stop=true), or purge it with all that belongs to it."""

    namespace: str
    job_id: str
    purge: bool = False
    evaluation: Evaluation | None = None
    no_shutdown_delay: bool = False


class PeriodicLaunch(Command, frozen=True, kw_only=True):
    """Launch a periodic job for one moment. `skip`: only note it, with this reason. Forced ones ignore overlap."""

    namespace: str
    job_id: str
    launch_ns: int
    next_ns: int = 0
    forced: bool = False
    skip: str = ""
    child: Job | None = None
    evaluation: Evaluation | None = None


class JobDispatch(Command, frozen=True, kw_only=True):
    """Register a dispatched child; its `parent_id` names the parameterized job."""

    child: Job
    evaluation: Evaluation | None = None


class JobScale(Command, frozen=True, kw_only=True):
    """Change the count of a group: a new version. Without a count only an event is noted."""

    namespace: str
    job_id: str
    group: str
    count: int | None = None
    message: str = ""
    error: bool = False
    meta: dict[str, str] = {}
    evaluation: Evaluation | None = None
    next_launch_ns: int = 0


class EvalsUpsert(Command, frozen=True, kw_only=True):
    """Create or replace evaluations."""

    evaluations: tuple[Evaluation, ...]


class PlanApply(Command, frozen=True, kw_only=True):
    """What the plan queue let through of a plan, with the evaluation's outcome when it committed whole."""

    eval_id: str
    namespace: str
    job_id: str
    job_version: int
    blocks: tuple[AllocBlock, ...] = ()
    allocs: tuple[Allocation, ...] = ()
    node_epochs: dict[str, int] = {}
    stops: tuple[AllocStop, ...] = ()
    in_place: tuple[InPlaceUpdate, ...] = ()
    marks: tuple[AllocMark, ...] = ()
    deployment: Deployment | None = None
    deployment_changes: tuple[DeploymentChange, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()


def plan_apply(plan: Plan, *, time_ns: int, evaluations: tuple[Evaluation, ...] = ()) -> PlanApply:
    """The command that stores a plan, or what is left of it."""
    return PlanApply(
        time_ns=time_ns,
        eval_id=plan.eval_id,
        namespace=plan.namespace,
        job_id=plan.job_id,
        job_version=plan.job_version,
        blocks=plan.blocks,
        allocs=plan.allocs,
        node_epochs=plan.node_epochs,
        stops=plan.stops,
        in_place=plan.in_place,
        marks=plan.marks,
        deployment=plan.deployment,
        deployment_changes=plan.deployment_changes,
        evaluations=evaluations,
    )


class NodeRegister(Command, frozen=True, kw_only=True):
    """Create or refresh a node. Keeps the stored status (if known), eligibility and drain."""

    node: Node
    evaluations: tuple[Evaluation, ...] = ()


class NodeStatusUpdate(Command, frozen=True, kw_only=True):
    """Change the status of nodes, e.g. after missed heartbeats."""

    node_ids: tuple[str, ...]
    status: NodeStatus
    description: str = ""
    event: NodeEvent | None = None
    evaluations: tuple[Evaluation, ...] = ()


class NodeEligibility(Command, frozen=True, kw_only=True):
    """Allow or forbid new work on a node."""

    node_id: str
    eligibility: Eligibility
    evaluations: tuple[Evaluation, ...] = ()


class NodesQuarantine(Command, frozen=True, kw_only=True):
    """Marks of the leader: node id -> its quarantine; None ends it."""

    marks: dict[str, NodeQuarantine | None]
    evaluations: tuple[Evaluation, ...] = ()


class NodeDrain(Command, frozen=True, kw_only=True):
    """Begin, change or (None) end the drain of a node, by an operator. Its deadline counts from this entry on.

    `mark_eligible` matters at the end only; without it the node stays ineligible.
    """

    node_id: str
    drain: DrainStrategy | None = None
    mark_eligible: bool = False
    meta: dict[str, str] = {}
    evaluations: tuple[Evaluation, ...] = ()


class DrainsComplete(Command, frozen=True, kw_only=True):
    """These drains are done. Node id -> when its drain began: another drain of the node is left alone."""

    drains: dict[str, int]


class SchedulerConfigSet(Command, frozen=True, kw_only=True):
    """Replace the scheduler's settings. `check_index`: the modify index that must be current (0: never set)."""

    config: SchedulerConfig
    check_index: int | None = None


class NamespaceUpsert(Command, frozen=True, kw_only=True):
    """Create or change a namespace."""

    namespace: Namespace


class NamespaceDelete(Command, frozen=True, kw_only=True):
    """Remove an empty namespace."""

    name: str


class NodePoolUpsert(Command, frozen=True, kw_only=True):
    """Create or change a node pool."""

    pool: NodePool


class NodePoolDelete(Command, frozen=True, kw_only=True):
    """Remove a node pool that nothing uses."""

    name: str


class VolumesPut(Command, frozen=True, kw_only=True):
    """Create or change records of dynamic host volumes: all of them, or none."""

    volumes: tuple[DynamicVolume, ...]
    evaluations: tuple[Evaluation, ...] = ()


class VolumesForget(Command, frozen=True, kw_only=True):
    """Remove records of dynamic host volumes, with the claims on them."""

    volume_ids: tuple[str, ...]


class ClientUpdate(Strict, frozen=True, kw_only=True):
    """What a node says of one of its allocations."""

    alloc_id: str
    client_status: ClientStatus
    client_description: str = ""
    task_states: dict[str, TaskState] = {}
    health: AllocHealth | None = None
    #: the deployment for which health was judged; None: not said.
    deployment_id: str | None = None
    network_status: NetworkStatus | None = None


class AllocClientUpdate(Command, frozen=True, kw_only=True):
    """A batch of reports from one node. Reports about unknown allocations are dropped."""

    node_id: str
    updates: tuple[ClientUpdate, ...]
    evaluations: tuple[Evaluation, ...] = ()


class AllocTransition(Command, frozen=True, kw_only=True):
    """Ask the scheduler to move or replace allocations."""

    transitions: dict[str, DesiredTransition]
    evaluations: tuple[Evaluation, ...] = ()


class DeploymentStatusUpdate(Command, frozen=True, kw_only=True):
    """Change a deployment's status; with `revert` its job goes back to the newest stable version at once.

    It goes back only while it is still at the deployment's version; what became of it is said in the description.
    """

    change: DeploymentChange
    revert: bool = False
    evaluation: Evaluation | None = None


class DeploymentPromote(Command, frozen=True, kw_only=True):
    """Let groups roll on whose canaries are healthy. `groups` None: all of them."""

    deployment_id: str
    groups: tuple[str, ...] | None = None
    evaluation: Evaluation | None = None


class DeploymentHealth(Command, frozen=True, kw_only=True):
    """Health by hand. Unhealthy allocations fail the deployment (`revert`: and take its job back)."""

    deployment_id: str
    healthy: tuple[str, ...] = ()
    unhealthy: tuple[str, ...] = ()
    revert: bool = False
    evaluation: Evaluation | None = None


class JobStable(Command, frozen=True, kw_only=True):
    """Note whether a version of a job is known to be good."""

    namespace: str
    job_id: str
    version: int
    stable: bool


class JobTag(Command, frozen=True, kw_only=True):
    """Give a version of a job a name, which keeps it; `version` -1: take the name away."""

    namespace: str
    job_id: str
    name: str
    version: int = -1
    description: str = ""


class Collect(Command, frozen=True, kw_only=True):
    """Garbage collection: forget what is listed. Ids that are gone already are no error."""

    evals: tuple[str, ...] = ()
    allocs: tuple[str, ...] = ()
    jobs: tuple[tuple[str, str], ...] = ()
    nodes: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()


AnyCommand = (
    Noop
    | ClusterInit
    | JobRegister
    | JobDeregister
    | PeriodicLaunch
    | JobDispatch
    | JobScale
    | EvalsUpsert
    | PlanApply
    | NodeRegister
    | NodeStatusUpdate
    | NodeEligibility
    | NodesQuarantine
    | NodeDrain
    | DrainsComplete
    | SchedulerConfigSet
    | NamespaceUpsert
    | NamespaceDelete
    | NodePoolUpsert
    | NodePoolDelete
    | VolumesPut
    | VolumesForget
    | AllocClientUpdate
    | AllocTransition
    | DeploymentStatusUpdate
    | DeploymentPromote
    | DeploymentHealth
    | JobStable
    | JobTag
    | Collect
)


class Envelope(Strict, frozen=True, kw_only=True):
    """One log entry's data."""

    schema: int = SCHEMA
    command: AnyCommand
