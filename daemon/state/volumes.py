"""Reading dynamic host volumes: which one a placement would use, who writes to it, who has a claim. Pure.

Source: spec/scheduler.md 4.4 "Host volumes".
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.alloc import Allocation
from daemon.model.job import Job, TaskGroup, VolumeRequest
from daemon.model.volume import SINGLE_WRITER, DynamicVolume, VolumeClaim, VolumeWriter, modes, source_of
from daemon.state.tables import Tables


class Volumes:
    """A view of the tables; cheap to make."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def all(self) -> list[DynamicVolume]:
        """Every volume, sorted by namespace, name and node."""
        rows = self._tables.volumes.values()
        return sorted(rows, key=lambda row: (row.namespace, row.name, row.node_id))

    def claims(self, namespace: str, job_id: str) -> tuple[VolumeClaim, ...]:
        """What a job's sticky groups have had."""
        return self._tables.claims.get((namespace, job_id)) or ()

    def of_job(self, job: Job, *older: Job) -> tuple[DynamicVolume, ...]:
        """Those that the job's groups may mean, on all nodes."""
        if not len(self._tables.volumes):
            return ()
        names = {
            (request.source or request.name, request.per_alloc)
            for version in (job, *older)
            for group in version.task_groups
            for request in group.volumes.values()
        }
        if not names:
            return ()
        return tuple(
            row
            for row in self.all()
            if row.namespace == job.namespace
            and ((row.name, False) in names or (row.name.rpartition("[")[0], True) in names)
        )

    def writers(self, volume: DynamicVolume) -> tuple[VolumeWriter, ...]:
        """The groups that have it mounted read-write, until their allocations have ended on the node."""
        found = {}
        for alloc in self._tables.allocs.by_node(volume.node_id):
            if alloc.client_terminal or alloc.namespace != volume.namespace:
                continue
            for request in self._requests(alloc):
                if not request.read_only and source_of(request, alloc.index) == volume.name:
                    writer = VolumeWriter(
                        namespace=alloc.namespace,
                        job_id=alloc.job_id,
                        task_group=alloc.task_group,
                        exclusive=modes(request)[0] == SINGLE_WRITER,
                    )
                    found[(writer.job_id, writer.task_group, writer.exclusive)] = writer
        return tuple(found[key] for key in sorted(found))

    def asked_for(
        self, job: Job, group: TaskGroup, node_id: str, index: int
    ) -> Iterator[tuple[VolumeRequest, DynamicVolume]]:
        """The dynamic volumes that an allocation of that number would use there. The node's own come first."""
        node = self._tables.nodes.get(node_id)
        for request in group.volumes.values():
            name = source_of(request, index)
            volume = self._tables.volumes.get((job.namespace, name, node_id))
            if volume is not None and not (node is not None and name in node.host_volumes):
                yield request, volume

    def _requests(self, alloc: Allocation) -> tuple[VolumeRequest, ...]:
        key = (alloc.namespace, alloc.job_id)
        latest = self._tables.jobs.get(key)
        old = self._tables.old_versions.get(key) or ()
        for job in (latest, *old):
            if job is not None and job.version == alloc.job_version:
                group = job.group(alloc.task_group)
                return tuple(group.volumes.values()) if group is not None else ()
        return ()
