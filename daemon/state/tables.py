"""Tables: all rows of the state, with the indexes that must move with them.

Theory: rows are frozen and replaced. `Tables` has no rules: who may change what is in the apply_* modules, which
write through a `Draft`. What a snapshot holds is exactly what `freeze` returns; the rest is rebuilt from it.
Pure.

Source: architecture.md "State".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daemon.model.evaluation import Evaluation
from daemon.model.job import Job, JobSource
from daemon.model.launch import Launches
from daemon.model.node import Node
from daemon.model.scaling import JobScaling
from daemon.model.scheduler_config import SchedulerConfig
from daemon.model.scopes import Namespace, NodePool
from daemon.model.summary import JobSummary
from daemon.model.volume import DynamicVolume, VolumeClaim
from daemon.state.alloc_rows import Row, StoredBlock
from daemon.state.alloc_table import AllocTable, JobKey
from daemon.state.deployments import DeploymentTable
from daemon.state.job_index import JobIndex
from daemon.state.node_codes import GONE, NodeCodes
from daemon.state.table import ID_SHARDS, Table, id_shard, name_shard, one_shard


@dataclass(frozen=True, slots=True)
class Frozen:
    """The rows at one moment: shards that nobody will change."""

    index: int
    time_ns: int
    cluster_id: str
    table_indexes: dict[str, int]
    next_block: int
    scheduler_config: SchedulerConfig
    node_ids: list[str]
    node_names: list[str]
    #: table name -> shards, in the order in which they are restored.
    shards: dict[str, tuple[dict[Any, Any], ...]]


class JobEvals:
    """Evaluations of one job."""

    __slots__ = ("ids", "open")

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        #: evaluations that have not ended.
        self.open = 0


class Tables:
    """Rows and indexes."""

    def __init__(self) -> None:
        self.index = 0
        self.time_ns = 0
        self.cluster_id = ""
        self.table_indexes: dict[str, int] = {}
        self.jobs: Table[JobKey, Job] = Table(64, name_shard)
        #: earlier versions, newest first, without the latest.
        self.old_versions: Table[JobKey, tuple[Job, ...]] = Table(64, name_shard)
        #: version -> source, per job.
        self.sources: Table[JobKey, dict[int, JobSource]] = Table(64, name_shard)
        self.summaries: Table[JobKey, JobSummary] = Table(64, name_shard)
        self.launches: Table[JobKey, Launches] = Table(64, name_shard)
        self.scaling: Table[JobKey, JobScaling] = Table(64, name_shard)
        self.scheduler_config = SchedulerConfig()
        self.namespaces: Table[str, Namespace] = Table(1, one_shard)
        self.node_pools: Table[str, NodePool] = Table(1, one_shard)
        #: by namespace, name and node.
        self.volumes: Table[tuple[str, str, str], DynamicVolume] = Table(64, name_shard)
        #: of the job's sticky groups.
        self.claims: Table[JobKey, tuple[VolumeClaim, ...]] = Table(64, name_shard)
        self.job_index = JobIndex()
        self.nodes: Table[str, Node] = Table(ID_SHARDS, id_shard)
        self.evals: Table[str, Evaluation] = Table(ID_SHARDS, id_shard)
        self.deployments = DeploymentTable()
        self.codes = NodeCodes()
        self.allocs = AllocTable(self.codes)
        self._job_evals: dict[JobKey, JobEvals] = {}

    def put_job(self, job: Job) -> None:
        """Insert or replace the latest version."""
        self.job_index.changed(self.jobs.get(job.key), job)
        self.jobs.put(job.key, job)

    def pop_job(self, key: JobKey) -> None:
        """Remove."""
        self.job_index.changed(self.jobs.pop(key), None)

    def put_node(self, node: Node) -> None:
        """Insert or replace."""
        self.nodes.put(node.id, node)
        self.codes.set_epoch(node.id, node.epoch)

    def pop_node(self, node_id: str) -> None:
        """Remove."""
        self.nodes.pop(node_id)
        self.codes.set_epoch(node_id, GONE)

    def put_eval(self, before: Evaluation | None, after: Evaluation) -> None:
        """Insert or replace. The job of an evaluation never changes."""
        self.evals.put(after.id, after)
        key = (after.namespace, after.job_id)
        found = self._job_evals.get(key)
        if found is None:
            found = self._job_evals[key] = JobEvals()
        found.ids[after.id] = None
        found.open += int(not after.terminal) - int(before is not None and not before.terminal)

    def pop_eval(self, evaluation: Evaluation) -> None:
        """Remove."""
        self.evals.pop(evaluation.id)
        key = (evaluation.namespace, evaluation.job_id)
        found = self._job_evals[key]
        del found.ids[evaluation.id]
        found.open -= int(not evaluation.terminal)
        if not found.ids:
            del self._job_evals[key]

    def evals_of_job(self, key: JobKey) -> list[Evaluation]:
        """A job's evaluations, oldest first."""
        found = self._job_evals.get(key)
        if found is None:
            return []
        rows = [row for row in map(self.evals.get, found.ids) if row is not None]
        return sorted(rows, key=lambda row: (row.create_index, row.id))

    def eval_counts(self, key: JobKey) -> tuple[int, int]:
        """(all, not ended) evaluations of a job."""
        found = self._job_evals.get(key)
        return (len(found.ids), found.open) if found is not None else (0, 0)

    def freeze(self) -> Frozen:
        """What a snapshot holds. Costs microseconds; the first later write to each shard copies it."""
        return Frozen(
            self.index,
            self.time_ns,
            self.cluster_id,
            dict(self.table_indexes),
            self.allocs.next_block,
            self.scheduler_config,
            list(self.codes.ids),
            list(self.codes.names),
            {
                "jobs": self.jobs.freeze(),
                "old_versions": self.old_versions.freeze(),
                "sources": self.sources.freeze(),
                "summaries": self.summaries.freeze(),
                "launches": self.launches.freeze(),
                "scaling": self.scaling.freeze(),
                "namespaces": self.namespaces.freeze(),
                "node_pools": self.node_pools.freeze(),
                "volumes": self.volumes.freeze(),
                "claims": self.claims.freeze(),
                "nodes": self.nodes.freeze(),
                "evals": self.evals.freeze(),
                "deployments": self.deployments.rows.freeze(),
                "blocks": self.allocs.blocks.freeze(),
                "rows": self.allocs.rows.freeze(),
            },
        )

    def load_allocs(self, blocks: list[StoredBlock], rows: list[Row]) -> None:
        """Fill the allocations from a snapshot."""
        self.allocs.load(blocks, rows)
