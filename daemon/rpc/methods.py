"""The one table of methods: name, request, response, and who may answer. Pure.

A method is `unary` (one answer) or `stream` (frames both ways, ended by a status). `target` says which
machine does the work: `server`, `agent` (the one asked), or `node` (forwarded to the node that holds the allocation
or bears the id).
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

import msgspec

from daemon.rpc import messages as m

Q = TypeVar("Q")
A = TypeVar("A")
Target = Literal["server", "agent", "node"]


class Method(msgspec.Struct, Generic[Q, A], frozen=True):
    """One method. `stale_ok`: any server may answer from its own state when the caller allows it."""

    name: str
    request: type[Q]
    response: type[A]
    target: Target = "server"
    write: bool = False
    stream: bool = False
    stale_ok: bool = True
    #: only a node may call it, with its secret.
    node_only: bool = False


METHODS: dict[str, Method[Any, Any]] = {}


def _method(name: str, request: type[Q], response: type[A], **rules: Any) -> Method[Q, A]:
    method = Method(name, request, response, **rules)
    METHODS[name] = method
    return method


JOB_REGISTER = _method("Job.Register", m.JobRegisterRequest, m.JobRegisterResponse, write=True)
JOB_VALIDATE = _method("Job.Validate", m.JobValidateRequest, m.JobValidateResponse)
JOB_PLAN = _method("Job.Plan", m.JobPlanRequest, m.JobPlanResponse)
JOB_LIST = _method("Job.List", m.JobListRequest, m.JobListResponse)
JOB_GET = _method("Job.GetJob", m.IdQuery, m.JobResponse)
JOB_VERSIONS = _method("Job.GetJobVersions", m.IdQuery, m.JobVersionsResponse)
JOB_SOURCE = _method("Job.GetJobSubmission", m.JobSourceRequest, m.JobSourceResponse)
JOB_DEREGISTER = _method("Job.Deregister", m.JobDeregisterRequest, m.EvalIdResponse, write=True)
JOB_EVALUATE = _method("Job.Evaluate", m.JobEvaluateRequest, m.EvalIdResponse, write=True)
JOB_DISPATCH = _method("Job.Dispatch", m.JobDispatchRequest, m.JobDispatchResponse, write=True)
PERIODIC_FORCE = _method("Periodic.Force", m.PeriodicForceRequest, m.PeriodicForceResponse, write=True)
JOB_SCALE = _method("Job.Scale", m.JobScaleRequest, m.JobScaleResponse, write=True)
JOB_SCALE_STATUS = _method("Job.ScaleStatus", m.IdQuery, m.JobScaleStatusResponse)
JOB_WHY = _method("Job.Why", m.IdQuery, m.JobWhyResponse)

JOB_DEPLOYMENTS = _method("Job.Deployments", m.IdQuery, m.DeploymentListResponse)
JOB_LATEST_DEPLOYMENT = _method("Job.LatestDeployment", m.IdQuery, m.DeploymentResponse)
JOB_REVERT = _method("Job.Revert", m.JobRevertRequest, m.JobRegisterResponse, write=True)
JOB_STABLE = _method("Job.Stable", m.JobStableRequest, m.Empty, write=True)
JOB_TAG = _method("Job.TagVersion", m.JobTagRequest, m.JobTagResponse, write=True)

DEPLOYMENT_LIST = _method("Deployment.List", m.DeploymentListRequest, m.DeploymentListResponse)
DEPLOYMENT_GET = _method("Deployment.GetDeployment", m.IdQuery, m.DeploymentResponse)
DEPLOYMENT_ALLOCS = _method("Deployment.Allocations", m.IdQuery, m.AllocListResponse)
DEPLOYMENT_PROMOTE = _method(
    "Deployment.Promote", m.DeploymentPromoteRequest, m.DeploymentUpdateResponse, write=True
)
DEPLOYMENT_PAUSE = _method(
    "Deployment.Pause", m.DeploymentPauseRequest, m.DeploymentUpdateResponse, write=True
)
DEPLOYMENT_FAIL = _method("Deployment.Fail", m.DeploymentFailRequest, m.DeploymentUpdateResponse, write=True)
DEPLOYMENT_HEALTH = _method(
    "Deployment.SetAllocHealth", m.DeploymentHealthRequest, m.DeploymentUpdateResponse, write=True
)

EVAL_LIST = _method("Eval.List", m.EvalListRequest, m.EvalListResponse)
EVAL_GET = _method("Eval.GetEval", m.IdQuery, m.EvalResponse)

ALLOC_LIST = _method("Alloc.List", m.AllocListRequest, m.AllocListResponse)
ALLOC_GET = _method("Alloc.GetAlloc", m.IdQuery, m.AllocResponse)
ALLOC_STOP = _method("Alloc.Stop", m.AllocStopRequest, m.EvalIdResponse, write=True)
ALLOC_RESTART = _method("Allocations.Restart", m.AllocRestartRequest, m.Empty, target="node")
ALLOC_SIGNAL = _method("Allocations.Signal", m.AllocSignalRequest, m.Empty, target="node")
ALLOC_STATS = _method("Allocations.Stats", m.IdQuery, m.AllocStatsResponse, target="node")
ALLOC_EXEC = _method("Allocations.Exec", m.ExecRequest, m.Empty, target="node", stream=True)
FS_LIST = _method("FileSystem.List", m.FsRequest, m.FsListResponse, target="node")
FS_STAT = _method("FileSystem.Stat", m.FsRequest, m.FsListResponse, target="node")
FS_STREAM = _method("FileSystem.Stream", m.FsRequest, m.Empty, target="node", stream=True)
FS_LOGS = _method("FileSystem.Logs", m.LogsRequest, m.Empty, target="node", stream=True)

NODE_LIST = _method("Node.List", m.Query, m.NodeListResponse)
NODE_GET = _method("Node.GetNode", m.IdQuery, m.NodeResponse)
NODE_ELIGIBILITY = _method("Node.UpdateEligibility", m.NodeEligibilityRequest, m.EvalIdResponse, write=True)
NODE_DRAIN = _method("Node.UpdateDrain", m.NodeDrainRequest, m.NodeDrainResponse, write=True)
NODE_STATS = _method("ClientStats.Stats", m.IdQuery, m.HostStatsResponse, target="node")
NODE_REGISTER = _method(
    "Node.Register", m.NodeRegisterRequest, m.NodeHeartbeatResponse, write=True, node_only=True
)
NODE_HEARTBEAT = _method(
    "Node.UpdateStatus", m.NodeHeartbeatRequest, m.NodeHeartbeatResponse, write=True, node_only=True
)
NODE_ALLOCS = _method("Node.GetClientAllocs", m.NodeAllocsRequest, m.NodeAllocsResponse, node_only=True)
NODE_FETCH = _method("Alloc.GetAllocs", m.FetchAllocsRequest, m.FetchAllocsResponse, node_only=True)
NODE_UPDATE_ALLOC = _method("Node.UpdateAlloc", m.NodeUpdateAllocRequest, m.Empty, write=True, node_only=True)

AGENT_SELF = _method("Agent.Self", m.Query, m.AgentSelfResponse, target="agent")
AGENT_MONITOR = _method("Agent.Monitor", m.MonitorRequest, m.Empty, target="agent", stream=True)
EVENT_STREAM = _method("Event.Stream", m.EventStreamRequest, m.Empty, stream=True)
STATUS_LEADER = _method("Status.Leader", m.Query, m.LeaderResponse)
SCHEDULER_GET_CONFIG = _method("Operator.SchedulerGetConfiguration", m.Query, m.SchedulerConfigResponse)
SCHEDULER_SET_CONFIG = _method(
    "Operator.SchedulerSetConfiguration", m.SchedulerConfigRequest, m.SchedulerConfigResponse, write=True
)
SYSTEM_GC = _method("System.GarbageCollect", m.Write, m.Empty, write=True)
