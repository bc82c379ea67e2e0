"""The table of deployments, with what is looked up by job.

Theory: a job has at most one deployment that is under way; the others are history until they are collected.
Pure.

Source: spec/scheduler.md 1.7.
"""

from __future__ import annotations

from daemon.model.deployment import Deployment
from daemon.state.job_index import JobKey
from daemon.state.table import ID_SHARDS, Table, id_shard


class DeploymentTable:
    """Rows, the ids of each job, and the ids that are under way."""

    def __init__(self) -> None:
        self.rows: Table[str, Deployment] = Table(ID_SHARDS, id_shard)
        self._by_job: dict[JobKey, dict[str, None]] = {}
        self._active: dict[str, None] = {}

    def get(self, deployment_id: str) -> Deployment | None:
        """One deployment."""
        return self.rows.get(deployment_id)

    def put(self, row: Deployment) -> None:
        """Insert or replace. The job of a deployment never changes."""
        self.rows.put(row.id, row)
        self._by_job.setdefault((row.namespace, row.job_id), {})[row.id] = None
        if row.active:
            self._active[row.id] = None
        else:
            self._active.pop(row.id, None)

    def pop(self, row: Deployment) -> None:
        """Remove."""
        self.rows.pop(row.id)
        self._active.pop(row.id, None)
        key = (row.namespace, row.job_id)
        ids = self._by_job.get(key, {})
        ids.pop(row.id, None)
        if not ids:
            self._by_job.pop(key, None)

    def of_job(self, key: JobKey) -> list[Deployment]:
        """A job's deployments, newest first."""
        found = [row for row in map(self.rows.get, self._by_job.get(key, {})) if row is not None]
        return sorted(found, key=lambda row: (-row.create_index, row.id))

    def latest(self, key: JobKey) -> Deployment | None:
        """A job's newest deployment."""
        ids = self._by_job.get(key)
        return self.of_job(key)[0] if ids else None

    def active_of(self, key: JobKey) -> Deployment | None:
        """A job's deployment that is under way."""
        for deployment_id in self._by_job.get(key, {}):
            if deployment_id in self._active:
                return self.rows.get(deployment_id)
        return None

    def active(self) -> list[Deployment]:
        """All that are under way, oldest first."""
        found = [row for row in map(self.rows.get, self._active) if row is not None]
        return sorted(found, key=lambda row: (row.create_index, row.id))
