"""Messages about deployments and the versions of a job. Pure. Source: spec/nomad-surface.md B2, B5."""

from __future__ import annotations

from daemon.model.deployment import Deployment
from daemon.model.job import VersionTag
from daemon.rpc.messages.base import Answer, Query, Write


class DeploymentListRequest(Query, frozen=True, kw_only=True):
    """Deployments, newest first; `job` or `status` narrows."""

    job: str = ""
    status: str = ""


class DeploymentListResponse(Answer, frozen=True, kw_only=True):
    """Whole deployments."""

    deployments: tuple[Deployment, ...] = ()


class DeploymentResponse(Answer, frozen=True, kw_only=True):
    """One deployment; a job may have none."""

    deployment: Deployment | None = None


class DeploymentPromoteRequest(Write, frozen=True, kw_only=True):
    """Let groups roll on whose canaries are healthy. `all`: every group that waits for it."""

    deployment_id: str
    all: bool = False
    groups: tuple[str, ...] = ()


class DeploymentPauseRequest(Write, frozen=True, kw_only=True):
    """Hold a deployment, or let it go on."""

    deployment_id: str
    pause: bool


class DeploymentFailRequest(Write, frozen=True, kw_only=True):
    """End a deployment as failed; a group with auto_revert takes its job back."""

    deployment_id: str


class DeploymentHealthRequest(Write, frozen=True, kw_only=True):
    """Health by hand. Unhealthy ones fail the deployment."""

    deployment_id: str
    healthy_allocation_ids: tuple[str, ...] = ()
    unhealthy_allocation_ids: tuple[str, ...] = ()


class DeploymentUpdateResponse(Answer, frozen=True, kw_only=True):
    """`eval_id` is the evaluation to follow."""

    eval_id: str = ""
    eval_create_index: int = 0
    deployment_modify_index: int = 0
    reverted_job_version: int | None = None


class JobRevertRequest(Write, frozen=True, kw_only=True):
    """Register an earlier version's spec as a new version."""

    job_id: str
    job_version: int
    #: the version that must be the current one.
    enforce_prior_version: int | None = None


class JobStableRequest(Write, frozen=True, kw_only=True):
    """Note whether a version is known to be good."""

    job_id: str
    job_version: int
    stable: bool = True


class JobTagRequest(Write, frozen=True, kw_only=True):
    """Name a version, or with `unset` take the name away. `version` None: the latest."""

    job_id: str
    name: str
    version: int | None = None
    description: str = ""
    unset: bool = False


class JobTagResponse(Answer, frozen=True, kw_only=True):
    """The tag as stored; none after `unset`."""

    version: int = 0
    tag: VersionTag | None = None
