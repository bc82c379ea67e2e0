"""Plan: what the scheduler proposes for one evaluation; and what it was given to decide. Pure.

Theory: the scheduler is a function `(EvalInput, Fleet) -> Attempt`. It never blocks and never retries: when a
plan commits only in part, the leader hands the evaluation out again with a newer view, and counts attempts.

Source: spec/scheduler.md 1.8, 3.2, 3.3.
"""

from __future__ import annotations

from daemon.model.alloc import Allocation, AllocBlock, RescheduleTracker
from daemon.model.base import Wire
from daemon.model.deployment import Deployment, DeploymentChange
from daemon.model.enums import ClientStatus, DesiredStatus, NodeStatus
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.resources import AllocatedResources, Usage
from daemon.model.scheduler_config import SchedulerConfig
from daemon.model.volume import DynamicVolume, VolumeClaim, VolumeWriter


class AllocStop(Wire, frozen=True, kw_only=True):
    """An allocation that shall end. With `replaced_by`: only if that placement commits (atomic pair).

    With `desired_status` evict it makes room for `replaced_by`, an allocation of another job.
    """

    alloc_id: str
    node_id: str
    desired_status: DesiredStatus = DesiredStatus.STOP
    desired_description: str = ""
    #: `lost` for an allocation whose node is down or gone; "" leaves the node's word.
    client_status: ClientStatus | None = None
    followup_eval_id: str = ""
    replaced_by: str = ""


class InPlaceUpdate(Wire, frozen=True, kw_only=True):
    """An allocation that goes on under a newer job version: keeps id, ports and metrics."""

    alloc_id: str
    node_id: str
    job_version: int
    job_spec_index: int
    allocated_resources: AllocatedResources
    deployment_id: str = ""


class AllocMark(Wire, frozen=True, kw_only=True):
    """A note on an allocation that stays: a follow-up evaluation that waits, or `no placement`.

    `unknown`: its node is out of sight. `reconnected`: it came back in time and stays in its place.
    """

    alloc_id: str
    unknown: bool = False
    reconnected: bool = False
    followup_eval_id: str | None = None
    reschedule_tracker: RescheduleTracker | None = None


class GroupAnnotation(Wire, frozen=True, kw_only=True):
    """What a plan does to one group, as `job plan` prints it."""

    ignore: int = 0
    place: int = 0
    migrate: int = 0
    stop: int = 0
    in_place_update: int = 0
    destructive_update: int = 0
    canary: int = 0
    preemptions: int = 0
    reschedule_now: int = 0
    reschedule_later: int = 0


class Plan(Wire, frozen=True, kw_only=True):
    """Proposed writes. `job_version` and the epochs are checked again when it is applied."""

    eval_id: str
    namespace: str
    job_id: str
    job_version: int
    priority: int = 50
    all_at_once: bool = False
    snapshot_index: int = 0
    #: fresh placements, as columns.
    blocks: tuple[AllocBlock, ...] = ()
    #: placements with a predecessor, as rows.
    allocs: tuple[Allocation, ...] = ()
    #: node id -> epoch, for `allocs` (blocks carry their own).
    node_epochs: dict[str, int] = {}
    stops: tuple[AllocStop, ...] = ()
    in_place: tuple[InPlaceUpdate, ...] = ()
    marks: tuple[AllocMark, ...] = ()
    annotations: dict[str, GroupAnnotation] = {}
    #: a rollout that begins with this plan.
    deployment: Deployment | None = None
    #: rollouts that end with it: complete, or cancelled by a newer version.
    deployment_changes: tuple[DeploymentChange, ...] = ()

    @property
    def empty(self) -> bool:
        """True when it writes nothing."""
        placing = self.blocks or self.allocs or self.stops or self.in_place or self.marks
        return not (placing or self.deployment or self.deployment_changes)

    @property
    def placements(self) -> int:
        """How many allocations it would create."""
        return sum(block.count for block in self.blocks) + len(self.allocs)


class NodeView(Wire, frozen=True, kw_only=True):
    """State of a node that holds allocations of the job. A node missing here is gone."""

    id: str
    status: NodeStatus
    draining: bool = False
    ready: bool = True


class Neighbour(Wire, frozen=True, kw_only=True):
    """An allocation of another, less important job on a node: what it holds, and what ending it would mean."""

    alloc_id: str
    namespace: str
    job_id: str
    task_group: str
    priority: int
    #: of the group's migrate block; 0: none.
    max_parallel: int = 0
    usage: Usage
    ports: tuple[int, ...] = ()
    #: cores and instances of devices (daemon/state/units.py).
    units: tuple[str, ...] = ()

    @property
    def group_key(self) -> tuple[str, str, str]:
        """Namespace, job and group."""
        return (self.namespace, self.job_id, self.task_group)


class EvalInput(Wire, frozen=True, kw_only=True):
    """All that the scheduler may know besides the fleet, taken at one index."""

    evaluation: Evaluation
    #: the job's latest version; None: purged.
    job: Job | None
    #: versions that live allocations refer to, without the latest.
    old_jobs: tuple[Job, ...] = ()
    #: allocations of the job that are not terminal on both sides, and those that a rule may need
    #: (batch: all of them; service: failed ones not yet replaced).
    allocs: tuple[Allocation, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    #: node id -> allocations that may be ended for this job; only for nodes that an attempt wanted to see.
    neighbours: dict[str, tuple[Neighbour, ...]] = {}
    #: the job's latest deployment, active or not.
    deployment: Deployment | None = None
    #: node id -> how much the job's failures there still count, 0 to 1; nodes without any are not named.
    failures: dict[str, float] = {}
    #: dynamic host volumes of its namespace that its groups may mean, on all nodes.
    volumes: tuple[DynamicVolume, ...] = ()
    #: volume id -> groups that have it mounted read-write.
    writers: dict[str, tuple[VolumeWriter, ...]] = {}
    #: what its sticky groups have had.
    claims: tuple[VolumeClaim, ...] = ()
    #: as it holds for the job's node pool.
    config: SchedulerConfig = SchedulerConfig()
    index: int = 0
    #: the leader's wall clock, ns.
    now_ns: int = 0
    #: for ids and for breaking ties; different for each evaluation and attempt.
    seed: int = 0
    attempt: int = 1


class Attempt(Wire, frozen=True, kw_only=True):
    """The scheduler's answer."""

    plan: Plan
    #: the evaluation as it shall be stored if the plan commits whole.
    evaluation: Evaluation
    #: blocked and follow-up evaluations to create with it.
    new_evals: tuple[Evaluation, ...] = ()
    #: nodes whose allocations it needs to see before it can answer; the plan is void then.
    wants_nodes: tuple[str, ...] = ()


class PlanResult(Wire, frozen=True, kw_only=True):
    """What of a plan was committed."""

    full: bool = True
    #: node id -> why its part was refused.
    rejected: dict[str, str] = {}
    refresh_index: int = 0
    alloc_index: int = 0
