"""Indexes over jobs: their keys in order, and the children of each parent. Pure.

Theory: keys are kept sorted and merged lazily, so that registering many jobs is cheap and a page of a list is a
bisection. Jobs with a parent are kept apart: a list without them never walks over them.

Source: users/wants.md 6.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator

from daemon.model.enums import JobStatus
from daemon.model.job import Job

JobKey = tuple[str, str]


class SortedKeys:
    """A set of keys that is read in order."""

    __slots__ = ("_fresh", "_gone", "_keys")

    def __init__(self) -> None:
        self._keys: list[JobKey] = []
        self._fresh: list[JobKey] = []
        self._gone: set[JobKey] = set()

    def add(self, key: JobKey) -> None:
        """A key that is not there."""
        if key in self._gone:
            self._gone.discard(key)
        else:
            self._fresh.append(key)

    def remove(self, key: JobKey) -> None:
        """A key that is there."""
        self._gone.add(key)

    def since(self, start: JobKey) -> Iterator[JobKey]:
        """All keys from `start` on, in order. Nothing may be added meanwhile."""
        if self._fresh:
            # sorting a sorted list with a new tail is a merge
            self._keys.extend(sorted(self._fresh))
            self._keys.sort()
            self._fresh.clear()
        if len(self._gone) > 64 and len(self._gone) * 4 > len(self._keys):
            self._keys = [key for key in self._keys if key not in self._gone]
            self._gone.clear()
        gone = self._gone
        for place in range(bisect_left(self._keys, start), len(self._keys)):
            key = self._keys[place]
            if key not in gone:
                yield key


class Children:
    """The children of one parent: ids in the order they came, counts by status, idempotency tokens."""

    __slots__ = ("by_status", "ids", "tokens")

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        self.by_status: dict[JobStatus, int] = dict.fromkeys(JobStatus, 0)
        self.tokens: dict[str, str] = {}

    @property
    def active(self) -> int:
        """Children that are not over."""
        return self.by_status[JobStatus.PENDING] + self.by_status[JobStatus.RUNNING]


class JobIndex:
    """Follows every change of a job's latest version."""

    def __init__(self) -> None:
        self._tops = SortedKeys()
        self._lower = SortedKeys()
        self._children: dict[JobKey, Children] = {}

    def changed(self, before: Job | None, after: Job | None) -> None:
        """A job was made (no `before`), replaced, or removed (no `after`). Its parent never changes."""
        job = after or before
        if job is None or (before is not None and after is not None and not job.parent_id):
            return
        keys = self._lower if job.parent_id else self._tops
        if before is None:
            keys.add(job.key)
        elif after is None:
            keys.remove(job.key)
        if job.parent_id:
            self._count(job, before, after)

    def _count(self, job: Job, before: Job | None, after: Job | None) -> None:
        parent = (job.namespace, job.parent_id)
        found = self._children.get(parent)
        if found is None:
            found = self._children[parent] = Children()
        if before is not None:
            found.by_status[before.status] -= 1
        if after is not None:
            found.by_status[after.status] += 1
            found.ids[job.id] = None
            if job.dispatch_idempotency_token:
                found.tokens[job.dispatch_idempotency_token] = job.id
            return
        del found.ids[job.id]
        if found.tokens.get(job.dispatch_idempotency_token) == job.id:
            del found.tokens[job.dispatch_idempotency_token]
        if not found.ids:
            del self._children[parent]

    def children(self, parent: JobKey) -> Children | None:
        """The children of a job; None when it has none."""
        return self._children.get(parent)

    def since(self, start: JobKey, *, children: bool) -> Iterator[JobKey]:
        """Keys in order, from `start` on; with or without those of children."""
        if not children:
            return self._tops.since(start)
        return heapq.merge(self._tops.since(start), self._lower.since(start))
