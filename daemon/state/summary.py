"""SummaryDelta: what one entry does to the summaries of jobs, written once at its end.

Theory: a summary is counted, not computed: one addition per block or changed row. Counts of ended work stay
when the allocations are collected; `queued` is what the latest evaluation said it could not place.
Pure.

Source: spec/nomad-surface.md B2 (JobSummary).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from daemon.model.enums import ClientStatus
from daemon.model.summary import GroupSummary, JobSummary
from daemon.state.tables import Tables

_NOTHING = GroupSummary()
_FIELDS = {
    ClientStatus.PENDING: "starting",
    ClientStatus.RUNNING: "running",
    ClientStatus.COMPLETE: "complete",
    ClientStatus.FAILED: "failed",
    ClientStatus.LOST: "lost",
    ClientStatus.UNKNOWN: "unknown",
}


class SummaryDelta:
    """Counts to add, per job and group."""

    def __init__(self) -> None:
        self._added: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
        self._queued: dict[tuple[str, str], dict[str, int]] = {}
        #: a summary was removed with its job.
        self.removed = False

    def groups(self, key: tuple[str, str], names: Iterable[str]) -> None:
        """Make sure that these groups are there."""
        groups = self._added.setdefault(key, {})
        for name in names:
            groups.setdefault(name, {})

    def placed(self, key: tuple[str, str], group: str, count: int) -> None:
        """Fresh placements."""
        self._add(key, group, "starting", count)

    def moved(
        self, key: tuple[str, str], group: str, before: ClientStatus | None, after: ClientStatus | None
    ) -> None:
        """One allocation went from a status to another; None: was not there, is no more."""
        if before is not None:
            self._add(key, group, _FIELDS[before], -1)
        if after is not None:
            self._add(key, group, _FIELDS[after], 1)

    def queued(self, key: tuple[str, str], counts: dict[str, int]) -> None:
        """What an evaluation left unplaced."""
        self._queued.setdefault(key, {}).update(counts)

    def forget(self, key: tuple[str, str]) -> None:
        """The job is gone: nothing of it is written."""
        self._added.pop(key, None)
        self._queued.pop(key, None)

    def write(self, tables: Tables, index: int) -> bool:
        """Add up; True when a summary changed."""
        changed = self.removed
        for key in {**self._added, **self._queued}:
            if key not in tables.jobs:
                continue
            before = tables.summaries.get(key) or JobSummary(
                job_id=key[1], namespace=key[0], create_index=index
            )
            groups = dict(before.summary)
            for name, added in self._added.get(key, {}).items():
                counts = groups.get(name) or _NOTHING
                groups[name] = replace(
                    counts,
                    **{field: max(0, getattr(counts, field) + change) for field, change in added.items()},
                )
            for name, queued in self._queued.get(key, {}).items():
                groups[name] = replace(groups.get(name) or _NOTHING, queued=queued)
            if groups != before.summary or before.modify_index == 0:
                after = JobSummary(
                    job_id=key[1],
                    namespace=key[0],
                    summary=groups,
                    create_index=before.create_index,
                    modify_index=index,
                )
                tables.summaries.put(key, after)
                changed = True
        return changed

    def _add(self, key: tuple[str, str], group: str, field: str, count: int) -> None:
        counts = self._added.setdefault(key, {}).setdefault(group, {})
        counts[field] = counts.get(field, 0) + count
