"""Rollouts: which deployment a pass belongs to, and what it permits in each group. Pure.

Theory: a deployment belongs to one version of a job. That of an older version is over as soon as a newer version is
processed. While the current one is paused, has failed, or waits for the promotion of its canaries, nothing rolls and
nothing is added; what is lost is replaced all the same. A deployment begins with the first allocation of a version, or
with a change of its spec, and is complete when nothing is left to do and enough of what it placed is healthy.

Not here: counting health (daemon/state), deadlines and reverting (the deployment watcher), choosing canaries.

Source: spec/scheduler.md 6.2, 6.7.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from daemon.model.alloc import Allocation
from daemon.model.deployment import Deployment, DeploymentChange, GroupDeployment, words_of
from daemon.model.enums import ClientStatus, DeploymentStatus
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, TaskGroup
from daemon.model.policies import UpdateStrategy

DONE = "every group has what it asked for, and it is healthy"
JOB_STOPPED = "the job was stopped"
NEWER_VERSION = "a newer version of the job has taken its place"


@dataclass
class GroupRollout:
    """What the rollout permits in one group."""

    #: None: changes of this group are not paced and have no deployment.
    strategy: UpdateStrategy | None
    deployment_id: str = ""
    #: as stored; None: the current deployment does not know the group, or there is none.
    state: GroupDeployment | None = None
    paused: bool = False
    failed: bool = False
    #: canaries that this pass asks for in a deployment that begins with it.
    first_canaries: int = 0

    @property
    def canarying(self) -> bool:
        """Canaries run, or are about to, and nobody has promoted them."""
        if self.state is None:
            return self.first_canaries > 0
        return self.state.desired_canaries > 0 and not self.state.promoted

    @property
    def open(self) -> bool:
        """New work may be added and old work replaced."""
        return not (self.paused or self.failed or self.canarying)

    def is_canary(self, alloc: Allocation) -> bool:
        """A canary of the current deployment that has not been promoted."""
        marked = alloc.deployment_status is not None and alloc.deployment_status.canary
        return marked and bool(self.deployment_id) and alloc.deployment_id == self.deployment_id

    def promoted_canary(self, alloc: Allocation) -> bool:
        """It came as a canary and has taken its place."""
        return self.state is not None and self.state.promoted and alloc.id in self.state.placed_canaries

    def of_active(self, alloc: Allocation) -> bool:
        """It belongs to the deployment that is under way: when it fails, the watcher decides."""
        return bool(self.deployment_id) and not self.failed and alloc.deployment_id == self.deployment_id

    def canaries_wanted(self, destructive: int, existing: int) -> int:
        """How many canaries are missing. They are for changes that replace allocations."""
        if self.strategy is None or not destructive or self.paused or self.failed:
            return 0
        if self.state is None:
            return 0 if self.deployment_id else max(0, self.strategy.canary - existing)
        if self.state.promoted or not self.state.desired_canaries:
            return 0
        return max(0, self.strategy.canary - existing)

    def budget(self, untainted: Iterable[Allocation], newest_spec: int, rest: int) -> int:
        """How many destructive updates may begin now; `rest` when they are not paced."""
        if self.strategy is None:
            return rest
        left = self.strategy.max_parallel
        for alloc in untainted:
            if self.deployment_id:
                mine = alloc.deployment_id == self.deployment_id
            else:
                mine = alloc.job_spec_index == newest_spec
            if not mine:
                continue
            healthy = alloc.deployment_status.healthy if alloc.deployment_status else None
            if healthy is False or alloc.client_status == ClientStatus.FAILED:
                return 0
            left -= healthy is None
        return max(0, left)


def strategy_of(group: TaskGroup, *, batch: bool) -> UpdateStrategy | None:
    """How changes of the group are rolled out; None: at once."""
    if batch or group.update is None or group.update.max_parallel == 0:
        return None
    return group.update


@dataclass
class Rollouts:
    """The deployments of one job's pass."""

    job: Job | None
    latest: Deployment | None
    batch: bool
    #: the deployment of the newest version, unless it has succeeded.
    current: Deployment | None = None
    changes: list[DeploymentChange] = field(default_factory=list)
    #: groups of a deployment that begins with this pass.
    begun: dict[str, GroupDeployment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        job, latest = self.job, self.latest
        if latest is None:
            return
        if job is None or job.stop:
            self._change(latest, DeploymentStatus.CANCELLED, JOB_STOPPED)
        elif latest.job_version != job.version:
            self._change(latest, DeploymentStatus.CANCELLED, NEWER_VERSION)
        elif latest.status not in (DeploymentStatus.SUCCESSFUL, DeploymentStatus.CANCELLED):
            self.current = latest

    def _change(self, deployment: Deployment, status: DeploymentStatus, why: str) -> None:
        if deployment.active:
            self.changes.append(
                DeploymentChange(deployment_id=deployment.id, status=status, status_description=why)
            )

    def group(self, group: TaskGroup) -> GroupRollout:
        """What holds for one group."""
        strategy, current = strategy_of(group, batch=self.batch), self.current
        if strategy is not None and self.job is not None and self.job.reverts_to >= 0:
            # what was known to be good needs no trial
            strategy = replace(strategy, canary=0)
        if current is None:
            return GroupRollout(strategy)
        return GroupRollout(
            strategy,
            current.id,
            current.task_groups.get(group.name),
            paused=current.status == DeploymentStatus.PAUSED,
            failed=current.status == DeploymentStatus.FAILED,
        )

    def begin(self, name: str, rollout: GroupRollout, total: int, *, ran: bool, changing: bool) -> None:
        """Note that the group takes part in a new deployment, if it does.

        `ran`: allocations of this version were there already; `changing`: the spec changes allocations.
        """
        strategy = rollout.strategy
        if strategy is None or rollout.state is not None or self.current is not None or not total:
            return
        if self.job is None or ((ran or self._had_one(self.job)) and not changing):
            return
        self.begun[name] = GroupDeployment(
            auto_revert=strategy.auto_revert,
            auto_promote=strategy.auto_promote,
            progress_deadline_ns=strategy.progress_deadline_ns,
            desired_canaries=rollout.first_canaries,
            desired_total=total,
        )

    def member(self, name: str, new_id: str) -> str:
        """The deployment that the group's placements join; `new_id`: that of one that begins with this pass."""
        if name in self.begun:
            return new_id
        current = self.current
        takes_part = current is not None and current.active and name in current.task_groups
        return current.id if takes_part and current is not None else ""

    def _had_one(self, job: Job) -> bool:
        return self.latest is not None and self.latest.job_version == job.version

    def new_deployment(self, evaluation: Evaluation, deployment_id: str, now_ns: int) -> Deployment | None:
        """The deployment that begins with this pass."""
        job = self.job
        if job is None or not self.begun:
            return None
        return Deployment(
            id=deployment_id,
            namespace=job.namespace,
            job_id=job.id,
            job_version=job.version,
            job_modify_index=job.modify_index,
            job_spec_modify_index=job.job_modify_index,
            job_create_index=job.create_index,
            task_groups=self.begun,
            status_description=words_of(self.begun.values()),
            eval_priority=evaluation.priority,
            create_time_ns=now_ns,
            modify_time_ns=now_ns,
        )

    def finish(self, settled: dict[str, bool]) -> bool:
        """End the current deployment when every group is settled and healthy. True when it did."""
        current = self.current
        if current is None or current.status != DeploymentStatus.RUNNING or not all(settled.values()):
            return False
        for group in current.task_groups.values():
            if group.healthy_allocs < max(group.desired_total, group.desired_canaries):
                return False
            if group.desired_canaries and not group.promoted:
                return False
        self._change(current, DeploymentStatus.SUCCESSFUL, DONE)
        return True
