"""Deployment: one rollout of a job version. Pure.

Source: spec/scheduler.md 1.7, 6.7; names: spec/nomad-surface.md B5.
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.model.base import Wire
from daemon.model.enums import DeploymentStatus

#: these take no further update.
TERMINAL = frozenset({DeploymentStatus.SUCCESSFUL, DeploymentStatus.FAILED, DeploymentStatus.CANCELLED})


UNDER_WAY = "the rollout is under way"
NEEDS_PROMOTION = f"{UNDER_WAY}; its canaries wait to be promoted"
PROMOTES_ITSELF = f"{UNDER_WAY}; its canaries are promoted once all of them are healthy"


class GroupDeployment(Wire, frozen=True, kw_only=True):
    """Where the rollout of one group stands."""

    auto_revert: bool = False
    auto_promote: bool = False
    progress_deadline_ns: int = 0
    #: wall time by which the next allocation must be healthy; 0: no clock runs.
    require_progress_by_ns: int = 0
    promoted: bool = False
    placed_canaries: tuple[str, ...] = ()
    desired_canaries: int = 0
    desired_total: int = 0
    placed_allocs: int = 0
    healthy_allocs: int = 0
    unhealthy_allocs: int = 0


class Deployment(Wire, frozen=True, kw_only=True):
    """One per job version that needs one."""

    id: str
    namespace: str = "default"
    job_id: str
    job_version: int = 0
    job_modify_index: int = 0
    job_spec_modify_index: int = 0
    job_create_index: int = 0
    task_groups: dict[str, GroupDeployment] = {}
    status: DeploymentStatus = DeploymentStatus.RUNNING
    status_description: str = ""
    eval_priority: int = 50
    create_index: int = 0
    modify_index: int = 0
    create_time_ns: int = 0
    modify_time_ns: int = 0

    @property
    def active(self) -> bool:
        """Not over: it may still be updated."""
        return self.status not in TERMINAL

    @property
    def needs_promotion(self) -> bool:
        """True while a group has canaries and is not promoted."""
        return any(group.desired_canaries > 0 and not group.promoted for group in self.task_groups.values())


def words_of(groups: Iterable[GroupDeployment]) -> str:
    """How a rollout that is under way is described, by what it waits for."""
    waiting = [group for group in groups if group.desired_canaries > 0 and not group.promoted]
    if not waiting:
        return UNDER_WAY
    return PROMOTES_ITSELF if all(group.auto_promote for group in waiting) else NEEDS_PROMOTION


class DeploymentChange(Wire, frozen=True, kw_only=True):
    """A change of a deployment's status."""

    deployment_id: str
    status: DeploymentStatus
    status_description: str = ""
