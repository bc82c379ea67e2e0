"""The structs of a job's difference, with Nomad's names on the wire. Pure.

`type` is Added, Deleted, Edited or None. Source: spec/nomad-surface.md B2.
"""

from __future__ import annotations

from daemon.model.base import Wire


class FieldDiff(Wire, frozen=True, kw_only=True):
    """One scalar; durations are nanoseconds in digits."""

    type: str
    name: str
    old: str
    new: str
    annotations: tuple[str, ...] = ()


class ObjectDiff(Wire, frozen=True, kw_only=True):
    """An inner object."""

    type: str
    name: str
    fields: tuple[FieldDiff, ...] = ()
    objects: tuple[ObjectDiff, ...] = ()


class TaskDiff(Wire, frozen=True, kw_only=True):
    """One task."""

    type: str
    name: str
    fields: tuple[FieldDiff, ...] = ()
    objects: tuple[ObjectDiff, ...] = ()
    annotations: tuple[str, ...] = ()


class TaskGroupDiff(Wire, frozen=True, kw_only=True):
    """One group. `updates`: what the scheduler would do -> how many allocations."""

    type: str
    name: str
    fields: tuple[FieldDiff, ...] = ()
    objects: tuple[ObjectDiff, ...] = ()
    tasks: tuple[TaskDiff, ...] = ()
    updates: dict[str, int] = {}


class JobDiff(Wire, frozen=True, kw_only=True):
    """A whole job."""

    type: str
    id: str
    fields: tuple[FieldDiff, ...] = ()
    objects: tuple[ObjectDiff, ...] = ()
    task_groups: tuple[TaskGroupDiff, ...] = ()
