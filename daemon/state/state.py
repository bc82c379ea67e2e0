"""State: all that the cluster has agreed on. `apply` is the only writer; everything else reads.

Theory: a pure function of the log. `apply` takes an entry's index and command, and returns what changed; it
reads no clock, makes no ids, and iterates nothing whose order differs between processes. Rows are frozen structs:
a reader may keep what it got. Reads between two applies see one index; nobody else runs in between.
Non-goals: history, watching, access rights.
Pure.

Source: architecture.md section 3; spec/scheduler.md 1, 10, 11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from daemon.model.alloc import Allocation, AllocBlock
from daemon.model.deployment import Deployment
from daemon.model.errors import check
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, JobSource
from daemon.model.launch import Launches
from daemon.model.node import Node
from daemon.model.scaling import JobScaling
from daemon.model.scheduler_config import SchedulerConfig
from daemon.model.summary import JobSummary
from daemon.state import (
    apply_allocs,
    apply_cluster,
    apply_collect,
    apply_deployments,
    apply_drains,
    apply_evals,
    apply_jobs,
    apply_launches,
    apply_nodes,
    apply_quarantine,
    apply_scaling,
    apply_settings,
    apply_tags,
    apply_volumes,
)
from daemon.state import commands as c
from daemon.state.alloc_rows import NO_SLOT, pack
from daemon.state.apply_plan import apply_plan
from daemon.state.changes import TABLES, Changes
from daemon.state.draft import Draft
from daemon.state.entries import decode_entry
from daemon.state.holdings import failed_since, holdings
from daemon.state.job_index import Children
from daemon.state.newest import Found, Wanted, newest
from daemon.state.scopes import Scopes
from daemon.state.snapshot import StateSnapshot, read_pieces
from daemon.state.tables import Tables
from daemon.state.volumes import Volumes


def _noop(draft: Draft, command: c.Noop) -> None:
    """Only the index moves."""


_APPLY: dict[type[c.Command], Callable[[Draft, Any], None]] = {
    c.Noop: _noop,
    c.ClusterInit: apply_cluster.apply_cluster_init,
    c.JobRegister: apply_jobs.apply_register,
    c.JobDeregister: apply_jobs.apply_deregister,
    c.PeriodicLaunch: apply_launches.apply_launch,
    c.JobDispatch: apply_launches.apply_dispatch,
    c.JobScale: apply_scaling.apply_scale,
    c.EvalsUpsert: apply_evals.apply_evals,
    c.PlanApply: apply_plan,
    c.NodeRegister: apply_nodes.apply_node_register,
    c.NodeStatusUpdate: apply_nodes.apply_node_status,
    c.NodeEligibility: apply_nodes.apply_node_eligibility,
    c.NodesQuarantine: apply_quarantine.apply_quarantine,
    c.NodeDrain: apply_drains.apply_node_drain,
    c.DrainsComplete: apply_drains.apply_drains_complete,
    c.SchedulerConfigSet: apply_settings.apply_scheduler_config,
    c.NamespaceUpsert: apply_settings.apply_namespace,
    c.NamespaceDelete: apply_settings.apply_namespace_delete,
    c.NodePoolUpsert: apply_settings.apply_node_pool,
    c.NodePoolDelete: apply_settings.apply_node_pool_delete,
    c.VolumesPut: apply_volumes.apply_volumes_put,
    c.VolumesForget: apply_volumes.apply_volumes_forget,
    c.AllocClientUpdate: apply_allocs.apply_client_update,
    c.AllocTransition: apply_allocs.apply_transition,
    c.DeploymentStatusUpdate: apply_deployments.apply_status,
    c.DeploymentPromote: apply_deployments.apply_promote,
    c.DeploymentHealth: apply_deployments.apply_health,
    c.JobStable: apply_tags.apply_stable,
    c.JobTag: apply_tags.apply_tag,
    c.Collect: apply_collect.apply_collect,
}


class State:
    """The replicated state of one cluster."""

    def __init__(self) -> None:
        self._tables = Tables()

    # writing -------------------------------------------------------------------------------------------

    def apply(self, index: int, command: c.AnyCommand) -> Changes:
        """Apply one entry. When `Changes.result` is an EncampError, only the index moved."""
        tables = self._tables
        check(index > tables.index, "log entries are applied in order", index=index, applied=tables.index)
        tables.index = index
        tables.time_ns = max(tables.time_ns, command.time_ns)
        draft = Draft(tables, index, tables.time_ns)
        _APPLY[type(command)](draft, command)
        return draft.finish()

    def apply_entry(self, index: int, data: bytes) -> Changes:
        """Apply one entry of the log as it is stored.

        Raises: InvalidInput, when the entry is of a later version or cannot be read.
        """
        return self.apply(index, decode_entry(data))

    # whole ---------------------------------------------------------------------------------------------

    @property
    def index(self) -> int:
        """Log index of the last entry applied."""
        return self._tables.index

    @property
    def time_ns(self) -> int:
        """The leader's time of the last entry; never goes back."""
        return self._tables.time_ns

    @property
    def cluster_id(self) -> str:
        """Identity of the cluster; empty until the first leader named it."""
        return self._tables.cluster_id

    def table_index(self, table: str) -> int:
        """Log index of the last change of a table."""
        check(table in TABLES, "there is no such table", table=table, tables=TABLES)
        return self._tables.table_indexes.get(table, 0)

    def reset_changes(self) -> Changes:
        """What a consumer is told when it must read everything anew."""
        changes = Changes(self.index, self.time_ns, reset=True)
        changes.tables = TABLES
        return changes

    def snapshot(self) -> StateSnapshot:
        """A frozen copy of now, in microseconds; another thread may encode it."""
        return StateSnapshot(self._tables.freeze())

    @classmethod
    def restore(cls, pieces: Iterable[bytes]) -> State:
        """The state that a snapshot's pieces hold.

        Raises: InvalidInput, when a piece is damaged, missing or of a later version.
        """
        state = cls()
        read_pieces(state._tables, pieces)
        return state

    @classmethod
    def assembled(
        cls,
        index: int,
        time_ns: int,
        nodes: Iterable[Node],
        jobs: Iterable[tuple[Job, ...]],
        allocs: Iterable[Allocation],
    ) -> State:
        """A state made of rows as a cluster shows them: for a simulation, never for a server.

        Shape: `jobs` has per job all versions, newest first.
        """
        state = cls()
        tables = state._tables
        tables.index, tables.time_ns = index, time_ns
        for node in nodes:
            tables.put_node(node)
        for versions in jobs:
            tables.put_job(versions[0])
            if len(versions) > 1:
                tables.old_versions.put(versions[0].key, versions[1:])
        tables.load_allocs([], [pack(NO_SLOT, None, alloc) for alloc in allocs])
        return state

    # settings ------------------------------------------------------------------------------------------

    @property
    def scheduler_config(self) -> SchedulerConfig:
        """What operators have set for all schedulers."""
        return self._tables.scheduler_config

    @property
    def scopes(self) -> Scopes:
        """Namespaces and node pools."""
        return Scopes(self._tables)

    @property
    def volumes(self) -> Volumes:
        """Dynamic host volumes, and claims on them."""
        return Volumes(self._tables)

    # nodes ---------------------------------------------------------------------------------------------

    def node(self, node_id: str) -> Node | None:
        """One node."""
        return self._tables.nodes.get(node_id)

    def nodes(self) -> Iterator[Node]:
        """All nodes. Do not apply while iterating."""
        return self._tables.nodes.values()

    # jobs ----------------------------------------------------------------------------------------------

    def job(self, namespace: str, job_id: str) -> Job | None:
        """The latest version of a job."""
        return self._tables.jobs.get((namespace, job_id))

    def jobs(self, namespace: str | None = None, prefix: str = "") -> Iterator[Job]:
        """Latest versions; of one namespace, or of all. Do not apply while iterating."""
        for job in self._tables.jobs.values():
            if (namespace is None or job.namespace == namespace) and job.id.startswith(prefix):
                yield job

    def jobs_from(self, start: tuple[str, str] = ("", ""), *, children: bool = False) -> Iterator[Job]:
        """Latest versions in the order of (namespace, id), from a key on; children only when asked for."""
        found = map(self._tables.jobs.get, self._tables.job_index.since(start, children=children))
        return (job for job in found if job is not None)

    def children(self, namespace: str, parent_id: str) -> Children | None:
        """The children of a periodic or parameterized job; None when it has none. Do not keep it."""
        return self._tables.job_index.children((namespace, parent_id))

    def launches(self, namespace: str, job_id: str) -> Launches | None:
        """When a job was and will be launched, and how its launches ended."""
        return self._tables.launches.get((namespace, job_id))

    def scaling(self, namespace: str, job_id: str) -> JobScaling | None:
        """The last changes of count of a job's groups."""
        return self._tables.scaling.get((namespace, job_id))

    def job_versions(self, namespace: str, job_id: str) -> tuple[Job, ...]:
        """All versions kept, newest first."""
        latest = self.job(namespace, job_id)
        return (latest, *(self._tables.old_versions.get((namespace, job_id)) or ())) if latest else ()

    def job_version(self, namespace: str, job_id: str, version: int) -> Job | None:
        """One version of a job."""
        versions = self.job_versions(namespace, job_id)
        return next((job for job in versions if job.version == version), None)

    def job_source(self, namespace: str, job_id: str, version: int) -> JobSource | None:
        """The text that a version was made from."""
        return (self._tables.sources.get((namespace, job_id)) or {}).get(version)

    def summary(self, namespace: str, job_id: str) -> JobSummary:
        """Where the job's allocations stand; empty for an unknown job."""
        found = self._tables.summaries.get((namespace, job_id))
        return found or JobSummary(job_id=job_id, namespace=namespace)

    # evaluations ---------------------------------------------------------------------------------------

    def eval(self, eval_id: str) -> Evaluation | None:
        """One evaluation."""
        return self._tables.evals.get(eval_id)

    def evals(self) -> Iterator[Evaluation]:
        """All evaluations. Do not apply while iterating."""
        return self._tables.evals.values()

    def evals_by_job(self, namespace: str, job_id: str) -> list[Evaluation]:
        """A job's evaluations, oldest first."""
        return self._tables.evals_of_job((namespace, job_id))

    # deployments ---------------------------------------------------------------------------------------

    def deployment(self, deployment_id: str) -> Deployment | None:
        """One deployment."""
        return self._tables.deployments.get(deployment_id)

    def deployments(self) -> Iterator[Deployment]:
        """All deployments. Do not apply while iterating."""
        return self._tables.deployments.rows.values()

    def active_deployments(self) -> list[Deployment]:
        """Those under way, oldest first."""
        return self._tables.deployments.active()

    def deployments_by_job(self, namespace: str, job_id: str) -> list[Deployment]:
        """A job's deployments, newest first."""
        return self._tables.deployments.of_job((namespace, job_id))

    def latest_deployment(self, namespace: str, job_id: str) -> Deployment | None:
        """A job's newest deployment, whatever became of it."""
        return self._tables.deployments.latest((namespace, job_id))

    # allocations ---------------------------------------------------------------------------------------

    @property
    def alloc_count(self) -> int:
        """How many allocations are stored."""
        return self._tables.allocs.count

    def alloc(self, alloc_id: str) -> Allocation | None:
        """One allocation."""
        return self._tables.allocs.get(alloc_id)

    def allocs(self) -> Iterator[Allocation]:
        """All allocations, each made as it is read. Do not apply while iterating."""
        return self._tables.allocs.all()

    def allocs_newest(self, start: int, wanted: Wanted) -> Iterator[Found]:
        """Allocations by age, newest first, from create_index `start` on down; each is made when it is asked for.

        `wanted`: (namespace, job id) -> whether they are in question.
        """
        return newest(self._tables.allocs, start, wanted)

    def alloc_holdings(self) -> tuple[Iterator[AllocBlock], Iterator[Allocation]]:
        """All that holds room on nodes: blocks of what still runs as it was placed, and the rest one by one.

        For who counts usage anew; far cheaper than `allocs`. Do not apply while iterating.
        """
        return holdings(self._tables.allocs)

    def failed_since(self, time_ns: int) -> Iterator[Allocation]:
        """Failed allocations that changed after that time."""
        return failed_since(self._tables.allocs, time_ns)

    def allocs_by_job(self, namespace: str, job_id: str) -> Iterator[Allocation]:
        """A job's allocations, each made as it is read."""
        return self._tables.allocs.by_job((namespace, job_id))

    def allocs_by_node(self, node_id: str) -> Iterator[Allocation]:
        """A node's allocations, ended ones too."""
        return self._tables.allocs.by_node(node_id)

    def allocs_by_eval(self, eval_id: str) -> Iterator[Allocation]:
        """What one evaluation placed."""
        return self._tables.allocs.by_eval(eval_id)

    def node_alloc_versions(self, node_id: str) -> dict[str, int]:
        """Allocation id -> alloc_modify_index of all that the node must know."""
        return self._tables.allocs.node_versions(node_id)

    def all_live(self, namespace: str, job_id: str) -> bool:
        """True when the job has allocations and none of them is over on either side. Makes no rows."""
        counts = self._tables.allocs.job_counts((namespace, job_id))
        return counts is not None and counts.live == sum(counts.versions.values())

    def versions_in_use(self, namespace: str, job_id: str) -> list[int]:
        """Job versions that stored allocations refer to."""
        counts = self._tables.allocs.job_counts((namespace, job_id))
        return sorted(counts.versions) if counts else []

    def resolve_prefix(self, table: str, prefix: str) -> list[str]:
        """Ids in a table with ids that begin with the prefix, sorted, without repeats."""
        tables = ("jobs", "nodes", "evals", "allocs", "deployments")
        check(table in tables, "ids of this table have no prefix", table=table)
        if table == "allocs":
            return self._tables.allocs.with_prefix(prefix)
        if table == "jobs":
            return sorted({job.id for job in self.jobs(prefix=prefix)})
        rows: Iterator[Node | Evaluation | Deployment]
        if table == "deployments":
            rows = self.deployments()
        else:
            rows = self.nodes() if table == "nodes" else self.evals()
        return sorted(row.id for row in rows if row.id.startswith(prefix))
