"""Draft: the writing side of one apply: writes rows, and notes before and after for the Changes.

Theory: the apply_* modules decide, a Draft writes. What follows from a write in any case is done here once, when
the entry is finished: job summaries, derived job statuses, versions that nothing refers to any more.
Pure.

Source: spec/scheduler.md 1.1, 11; architecture.md "State".
"""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from daemon.model.alloc import Allocation, AllocBlock
from daemon.model.deployment import Deployment
from daemon.model.enums import EvalStatus, JobStatus
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.launch import Launches
from daemon.model.node import Node
from daemon.model.scaling import JobScaling
from daemon.model.scheduler_config import SchedulerConfig
from daemon.model.scopes import Namespace, NodePool
from daemon.model.volume import DynamicVolume, VolumeClaim
from daemon.state.alloc_table import JobKey
from daemon.state.changes import TABLES, Changes
from daemon.state.job_status import derived_status
from daemon.state.job_versions import trimmed_versions
from daemon.state.rollout_counts import RolloutDelta, counted
from daemon.state.run_history import with_end
from daemon.state.summary import SummaryDelta
from daemon.state.tables import Tables

K = TypeVar("K")
V = TypeVar("V")


class Draft:
    """One entry being applied. `finish` makes the Changes."""

    def __init__(self, tables: Tables, index: int, time_ns: int) -> None:
        self.tables = tables
        self.index = index
        self.time_ns = time_ns
        self.changes = Changes(index, time_ns)
        self._nodes: dict[str, tuple[Node | None, Node | None]] = {}
        self._jobs: dict[JobKey, tuple[Job | None, Job | None]] = {}
        self._evals: dict[str, tuple[Evaluation | None, Evaluation | None]] = {}
        self._allocs: dict[str, tuple[Allocation | None, Allocation | None]] = {}
        #: job -> whether evaluations of it were collected by this entry.
        self._touched: dict[JobKey, bool] = {}
        self._summary = SummaryDelta()
        self._deployments: dict[str, tuple[Deployment | None, Deployment | None]] = {}
        self._rollouts = RolloutDelta()
        self._cluster = False
        self._launches = False
        self._scaling = False
        #: scheduler settings, namespaces, pools.
        self._settings = False
        #: dynamic host volumes, and claims on them.
        self._volumes = False
        #: children of other jobs that this entry has brought to their end.
        self._ended: list[Job] = []

    def drop(self, what: str, reason: str) -> None:
        """Note that a part of the command was left out."""
        self.changes.dropped[what] = reason

    def set_cluster_id(self, cluster_id: str) -> None:
        """Name the cluster."""
        self.tables.cluster_id = cluster_id
        self._cluster = True

    def put_scaling(self, row: JobScaling) -> None:
        """Insert or replace the scaling events of a job."""
        self.tables.scaling.put((row.namespace, row.job_id), row)
        self._scaling = True

    def set_scheduler_config(self, config: SchedulerConfig) -> None:
        """Replace the scheduler's settings."""
        self.tables.scheduler_config = config
        self._settings = True

    def put_namespace(self, namespace: Namespace) -> None:
        """Insert or replace a namespace."""
        self.tables.namespaces.put(namespace.name, namespace)
        self._settings = True

    def remove_namespace(self, name: str) -> bool:
        """Remove a namespace. False when it is unknown."""
        found = self.tables.namespaces.pop(name) is not None
        self._settings |= found
        return found

    def put_node_pool(self, pool: NodePool) -> None:
        """Insert or replace a node pool."""
        self.tables.node_pools.put(pool.name, pool)
        self._settings = True

    def remove_node_pool(self, name: str) -> bool:
        """Remove a node pool. False when it is unknown."""
        found = self.tables.node_pools.pop(name) is not None
        self._settings |= found
        return found

    def put_volume(self, volume: DynamicVolume) -> None:
        """Insert or replace a dynamic host volume; its indexes are set here."""
        key = (volume.namespace, volume.name, volume.node_id)
        before = self.tables.volumes.get(key)
        created = before.create_index if before else self.index
        self.tables.volumes.put(key, replace(volume, create_index=created, modify_index=self.index))
        self._volumes = True

    def remove_volume(self, volume: DynamicVolume) -> None:
        """Forget a dynamic host volume."""
        self.tables.volumes.pop((volume.namespace, volume.name, volume.node_id))
        self._volumes = True

    def put_claims(self, key: JobKey, claims: tuple[VolumeClaim, ...]) -> None:
        """Replace a job's claims on volumes."""
        if claims:
            self.tables.claims.put(key, claims)
        else:
            self.tables.claims.pop(key)
        self._volumes = True

    def put_node(self, node: Node) -> None:
        """Insert or replace a node."""
        _note(self._nodes, node.id, self.tables.nodes.get(node.id), node)
        self.tables.put_node(node)

    def remove_node(self, node: Node) -> None:
        """Remove a node."""
        _note(self._nodes, node.id, node, None)
        self.tables.pop_node(node.id)

    def put_job(self, job: Job) -> None:
        """Insert or replace the latest version of a job."""
        _note(self._jobs, job.key, self.tables.jobs.get(job.key), job)
        self.tables.put_job(job)
        self.touch(job.key)

    def remove_job(self, job: Job) -> None:
        """Remove a job with its versions, sources and summary."""
        _note(self._jobs, job.key, job, None)
        self.tables.pop_job(job.key)
        self._launches |= self.tables.launches.pop(job.key) is not None
        self._scaling |= self.tables.scaling.pop(job.key) is not None
        self._volumes |= self.tables.claims.pop(job.key) is not None
        self.tables.old_versions.pop(job.key)
        self.tables.sources.pop(job.key)
        self._summary.forget(job.key)
        if self.tables.summaries.pop(job.key) is not None:
            self._summary.removed = True

    def put_launches(self, row: Launches) -> None:
        """Insert or replace the launches of a job."""
        self.tables.launches.put((row.namespace, row.job_id), row)
        self._launches = True

    def put_deployment(self, row: Deployment) -> None:
        """Insert or replace a deployment; its indexes and times are set here."""
        before = self.tables.deployments.get(row.id)
        after = replace(
            row,
            create_index=before.create_index if before else self.index,
            create_time_ns=before.create_time_ns if before else self.time_ns,
            modify_index=self.index,
            modify_time_ns=self.time_ns,
        )
        _note(self._deployments, row.id, before, after)
        self.tables.deployments.put(after)
        self.touch((row.namespace, row.job_id))

    def remove_deployment(self, row: Deployment) -> None:
        """Forget a deployment."""
        _note(self._deployments, row.id, row, None)
        self.tables.deployments.pop(row)
        self.touch((row.namespace, row.job_id))

    def put_eval(self, evaluation: Evaluation) -> bool:
        """Store an evaluation; its indexes and times are set here. False: an ended one is not reopened.

        A complete evaluation without failed groups cancels the stored blocked evaluations of its job.
        """
        before = self.tables.evals.get(evaluation.id)
        if before is not None and before.terminal and before.status != evaluation.status:
            self.drop(evaluation.id, f"the evaluation is already {before.status}")
            return False
        after = replace(
            evaluation,
            create_index=before.create_index if before else self.index,
            create_time_ns=before.create_time_ns if before else evaluation.create_time_ns or self.time_ns,
            modify_index=self.index,
            modify_time_ns=self.time_ns,
        )
        self._write_eval(before, after)
        if after.queued_allocations:
            self._summary.queued((after.namespace, after.job_id), after.queued_allocations)
        if after.placed:
            for other in self.tables.evals_of_job((after.namespace, after.job_id)):
                if other.status == EvalStatus.BLOCKED and other.id != after.id:
                    self.end_eval(other, EvalStatus.CANCELED, f"evaluation {after.id} placed everything")
        return True

    def end_eval(self, evaluation: Evaluation, status: EvalStatus, description: str) -> None:
        """Give an open evaluation its end."""
        after = replace(
            evaluation,
            status=status,
            status_description=description,
            modify_index=self.index,
            modify_time_ns=self.time_ns,
        )
        self._write_eval(evaluation, after)

    def remove_eval(self, evaluation: Evaluation) -> None:
        """Forget an evaluation."""
        _note(self._evals, evaluation.id, evaluation, None)
        self.tables.pop_eval(evaluation)
        self._touched[(evaluation.namespace, evaluation.job_id)] = True

    def add_block(self, block: AllocBlock, codes: bytes) -> None:
        """Store fresh placements."""
        self.tables.allocs.add_block(block, codes)
        self.changes.blocks.append(block)
        key = (block.namespace, block.job_id)
        self._summary.placed(key, block.task_group, block.count)
        if block.deployment_id:
            ids = [block.alloc_id(row) for row in range(block.count)] if block.canary else ()
            self._rollouts.placed(block.deployment_id, block.task_group, block.count, ids)
        self.touch(key)

    def add_alloc(self, alloc: Allocation) -> None:
        """Store one placement as a row."""
        self.tables.allocs.add_row(alloc)
        _note(self._allocs, alloc.id, None, alloc)
        key = (alloc.namespace, alloc.job_id)
        self._summary.moved(key, alloc.task_group, None, alloc.client_status)
        self._rollouts.new_row(alloc)
        self.touch(key)

    def put_alloc(self, before: Allocation, after: Allocation) -> None:
        """Replace an allocation."""
        self.tables.allocs.change(before, after)
        _note(self._allocs, after.id, before, after)
        key = (after.namespace, after.job_id)
        if before.client_status != after.client_status:
            self._summary.moved(key, after.task_group, before.client_status, after.client_status)
        self._rollouts.changed_row(before, after)
        self.touch(key)

    def remove_alloc(self, alloc: Allocation) -> None:
        """Forget an allocation."""
        self.tables.allocs.remove(alloc)
        _note(self._allocs, alloc.id, alloc, None)
        key = (alloc.namespace, alloc.job_id)
        if not alloc.client_terminal:
            self._summary.moved(key, alloc.task_group, alloc.client_status, None)
        self.touch(key)

    def summary_groups(self, key: JobKey, names: list[str]) -> None:
        """Show these groups in the job's summary, with zeros."""
        self._summary.groups(key, names)

    def touch(self, key: JobKey) -> None:
        """Derive this job's status anew when the entry is finished."""
        self._touched.setdefault(key, False)

    def count_rollouts(self) -> None:
        """Write what was counted so far into the deployments that are under way."""
        counts, self._rollouts = self._rollouts, RolloutDelta()
        for deployment_id, added in counts.added.items():
            row = self.tables.deployments.get(deployment_id)
            after = counted(row, added, self.time_ns) if row is not None and row.active else row
            if after is not None and after != row:
                self.put_deployment(after)

    def finish(self) -> Changes:
        """Write what follows, and return what changed."""
        tables, changes = self.tables, self.changes
        self.count_rollouts()
        for key, lost_evals in self._touched.items():
            self._settle_job(key, lost_evals)
        summaries = self._summary.write(tables, self.index)
        for child in self._ended:
            row = with_end(tables, child, self.time_ns, self.index)
            if row is not None:
                self.put_launches(row)
        changes.nodes = list(self._nodes.values())
        changes.jobs = list(self._jobs.values())
        changes.evals = list(self._evals.values())
        changes.deployments = [pair for pair in self._deployments.values() if pair != (None, None)]
        changes.allocs = [pair for pair in self._allocs.values() if pair != (None, None)]
        touched = {
            "cluster": self._cluster,
            "jobs": bool(changes.jobs),
            "nodes": bool(changes.nodes),
            "evals": bool(changes.evals),
            "allocs": bool(changes.allocs or changes.blocks),
            "summaries": summaries,
            "launches": self._launches,
            "deployments": bool(changes.deployments),
            "scaling": self._scaling,
            "settings": self._settings,
            "volumes": self._volumes,
        }
        changes.tables = tuple(name for name in TABLES if touched[name])
        for name in changes.tables:
            tables.table_indexes[name] = self.index
        return changes

    def _settle_job(self, key: JobKey, lost_evals: bool) -> None:
        tables = self.tables
        job = tables.jobs.get(key)
        if job is None:
            return
        counts = tables.allocs.job_counts(key)
        total, unfinished = tables.eval_counts(key)
        rolling = tables.deployments.active_of(key) is not None
        status = derived_status(job, counts.live if counts else 0, total, unfinished, lost_evals, rolling)
        if status != job.status:
            job = replace(job, status=status, modify_index=self.index)
            _note(self._jobs, key, tables.jobs.get(key), job)
            tables.put_job(job)
            if status == JobStatus.DEAD and job.parent_id:
                self._ended.append(job)
        old = tables.old_versions.get(key)
        if old is None:
            return
        kept = trimmed_versions(old, counts.versions if counts else {})
        if len(kept) != len(old):
            tables.old_versions.put(key, kept)
            sources = tables.sources.get(key)
            if sources:
                live = {job.version, *(version.version for version in kept)}
                tables.sources.put(key, {number: text for number, text in sources.items() if number in live})

    def _write_eval(self, before: Evaluation | None, after: Evaluation) -> None:
        _note(self._evals, after.id, before, after)
        self.tables.put_eval(before, after)
        self.touch((after.namespace, after.job_id))


def _note(notes: dict[K, tuple[V | None, V | None]], key: K, before: V | None, after: V | None) -> None:
    """Remember the first `before` and the last `after`."""
    first = notes.get(key)
    notes[key] = (before if first is None else first[0], after)
