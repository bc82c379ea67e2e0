"""What changed between two versions of a job, in Nomad's JobDiff shape. Pure.

Theory: structs are walked by their own field lists, so a new field of the model is compared without a line
here. Scalars are fields; maps are fields named `Meta[key]`; lists of texts and inner structs are objects;
lists of structs are matched by their name where they have one, by position for networks, and else as a set
(one removed, one added). A driver's config is flattened (`port_map[0][db]`).

Source: spec/nomad-surface.md B2 (JobDiff).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daemon.jobspec.difftypes import FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff
from daemon.model.base import wire_name
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.plan import GroupAnnotation
from daemon.model.resources import Network

#: kept by servers, or the identity itself.
_JOB_SKIPPED = frozenset(
    {
        "id",
        "task_groups",
        "parent_id",
        "dispatched",
        "version",
        "stable",
        "status",
        "status_description",
        "submit_time_ns",
        "create_index",
        "modify_index",
        "job_modify_index",
        # merged into the groups, where it is compared.
        "update",
    }
)
_SINGULAR = {
    "constraints": "Constraint",
    "affinities": "Affinity",
    "spreads": "Spread",
    "networks": "Network",
    "volumes": "Volume",
    "volume_mounts": "VolumeMount",
    "devices": "Device",
    "reserved_ports": "Static Port",
    "dynamic_ports": "Dynamic Port",
    "parameterized_job": "Parameterized",
}


def diff_jobs(old: Job | None, new: Job | None, *, contextual: bool = False) -> JobDiff:
    """The difference from `old` to `new`; None stands for a job that is not there.

    `contextual` keeps unchanged fields of changed objects, marked None.
    """
    walker = _Walker(contextual)
    fields, objects = walker.struct(old, new, _JOB_SKIPPED)
    groups = walker.groups(old.task_groups if old else (), new.task_groups if new else ())
    known = new or old
    return JobDiff(
        type=_type(old, new, bool(_changed(fields) or objects or any(g.type != "None" for g in groups))),
        id=known.id if known else "",
        fields=tuple(fields),
        objects=tuple(objects),
        task_groups=tuple(groups),
    )


def annotate(diff: JobDiff, annotations: Mapping[str, GroupAnnotation]) -> JobDiff:
    """The diff with what the scheduler would do: counts for each group, consequences for each task."""
    groups = []
    for group in diff.task_groups:
        found = annotations.get(group.name)
        updates = {} if found is None else {label: count for label, count in _labels(found) if count}
        tasks = tuple(
            msgspec.structs.replace(task, annotations=_consequence(task, group)) for task in group.tasks
        )
        fields = tuple(
            msgspec.structs.replace(field, annotations=_count_consequence(field))
            if field.name == "Count"
            else field
            for field in group.fields
        )
        groups.append(msgspec.structs.replace(group, updates=updates, tasks=tasks, fields=fields))
    return msgspec.structs.replace(diff, task_groups=tuple(groups))


def _labels(found: GroupAnnotation) -> list[tuple[str, int]]:
    return [
        ("create", found.place),
        ("destroy", found.stop),
        ("migrate", found.migrate),
        ("canary", found.canary),
        ("in-place update", found.in_place_update),
        ("create/destroy update", found.destructive_update),
        ("ignore", found.ignore),
        ("preemptions", found.preemptions),
        ("reschedule now", found.reschedule_now),
        ("reschedule later", found.reschedule_later),
    ]


_IN_PLACE_FIELDS = frozenset({"KillTimeout", "KillSignal", "ShutdownDelay"})
_IN_PLACE_OBJECTS = frozenset({"LogConfig", "RestartPolicy", "Constraint", "Affinity"})


def _consequence(task: TaskDiff, group: TaskGroupDiff) -> tuple[str, ...]:
    if task.type == "None":
        return ()
    if group.type in ("Added", "Deleted") or task.type in ("Added", "Deleted"):
        return ("forces create",) if "Added" in (group.type, task.type) else ("forces destroy",)
    in_place = all(f.name in _IN_PLACE_FIELDS for f in _changed(task.fields))
    in_place = in_place and all(o.name in _IN_PLACE_OBJECTS for o in task.objects if o.type != "None")
    return ("forces in-place update",) if in_place else ("forces create/destroy update",)


def _count_consequence(field: FieldDiff) -> tuple[str, ...]:
    if field.type == "None":
        return ()
    before, after = int(field.old or 0), int(field.new or 0)
    return ("forces create",) if after > before else ("forces destroy",)


def _changed(fields: Sequence[FieldDiff]) -> list[FieldDiff]:
    return [field for field in fields if field.type != "None"]


def _type(old: object, new: object, changed: bool) -> str:
    if old is None:
        return "None" if new is None else "Added"
    if new is None:
        return "Deleted"
    return "Edited" if changed else "None"


class _Walker:
    def __init__(self, contextual: bool) -> None:
        self.contextual = contextual

    def groups(self, old: Sequence[TaskGroup], new: Sequence[TaskGroup]) -> list[TaskGroupDiff]:
        """Groups by name, in order of name."""
        result = []
        for name, before, after in _by_name(old, new):
            fields, objects = self.struct(before, after, frozenset({"name", "tasks"}))
            tasks = self.tasks(before.tasks if before else (), after.tasks if after else ())
            changed = bool(_changed(fields) or objects or any(t.type != "None" for t in tasks))
            result.append(
                TaskGroupDiff(
                    type=_type(before, after, changed),
                    name=name,
                    fields=tuple(fields),
                    objects=tuple(objects),
                    tasks=tuple(tasks),
                )
            )
        return result

    def tasks(self, old: Sequence[Task], new: Sequence[Task]) -> list[TaskDiff]:
        """Tasks by name, in order of name."""
        result = []
        for name, before, after in _by_name(old, new):
            fields, objects = self.struct(before, after, frozenset({"name", "config"}))
            config = self.mapping(
                "Config", before.config if before else None, after.config if after else None
            )
            if config is not None:
                objects = sorted([*objects, config], key=lambda each: each.name)
            changed = bool(_changed(fields) or objects)
            result.append(
                TaskDiff(
                    type=_type(before, after, changed),
                    name=name,
                    fields=tuple(fields),
                    objects=tuple(objects),
                )
            )
        return result

    def struct(
        self, old: Any, new: Any, skip: frozenset[str] = frozenset()
    ) -> tuple[list[FieldDiff], list[ObjectDiff]]:
        """Fields and objects of two structs of one type, either of which may be missing."""
        known = new if new is not None else old
        before: dict[str, str] = {}
        after: dict[str, str] = {}
        objects: list[ObjectDiff] = []
        for info in msgspec.structs.fields(type(known)) if known is not None else ():
            if info.name in skip:
                continue
            left = getattr(old, info.name) if old is not None else None
            right = getattr(new, info.name) if new is not None else None
            if (_is_scalar(left) and _is_scalar(right)) or (_is_text_map(left) and _is_text_map(right)):
                _flatten(wire_name(info.name), left, before)
                _flatten(wire_name(info.name), right, after)
            else:
                objects += self.objects(_SINGULAR.get(info.name, wire_name(info.name)), left, right)
        return self.fields(before, after), sorted(objects, key=lambda each: each.name)

    def fields(self, before: dict[str, str], after: dict[str, str]) -> list[FieldDiff]:
        """Flat names compared."""
        result = []
        for name in sorted(before.keys() | after.keys()):
            left, right = before.get(name, ""), after.get(name, "")
            if left == right:
                if self.contextual and left:
                    result.append(FieldDiff(type="None", name=name, old=left, new=right))
                continue
            kind = "Added" if not left else "Deleted" if not right else "Edited"
            result.append(FieldDiff(type=kind, name=name, old=left, new=right))
        return result

    def mapping(self, name: str, old: Any, new: Any) -> ObjectDiff | None:
        """A free-form object, flattened."""
        before: dict[str, str] = {}
        after: dict[str, str] = {}
        _flatten("", old, before)
        _flatten("", new, after)
        fields = self.fields(before, after)
        if not _changed(fields):
            return None
        kind = _type(before or None, after or None, True)
        return ObjectDiff(type=kind, name=name, fields=tuple(fields))

    def objects(self, name: str, old: Any, new: Any) -> list[ObjectDiff]:
        """An inner struct, or a list or map of structs or texts."""
        if isinstance(old, dict) or isinstance(new, dict):
            left, right = old or {}, new or {}
            pairs = [(left.get(key), right.get(key)) for key in sorted(left.keys() | right.keys())]
            return [each for pair in pairs for each in self.object(name, *pair)]
        if isinstance(old, tuple) or isinstance(new, tuple):
            return self.sequence(name, old or (), new or ())
        return self.object(name, old, new)

    def object(self, name: str, old: Any, new: Any) -> list[ObjectDiff]:
        """One inner struct."""
        if old == new:
            return []
        fields, inner = self.struct(old, new)
        return [ObjectDiff(type=_type(old, new, True), name=name, fields=tuple(fields), objects=tuple(inner))]

    def sequence(self, name: str, old: tuple[Any, ...], new: tuple[Any, ...]) -> list[ObjectDiff]:
        """A list: of texts, of networks by position, of named structs, of others as a set."""
        sample = (*old, *new)
        if all(_is_scalar(each) for each in sample):
            return self.texts(name, old, new)
        if isinstance(sample[0], Network):
            count = max(len(old), len(new))
            pairs = [(_at(old, at), _at(new, at)) for at in range(count)]
            return [each for pair in pairs for each in self.object(name, *pair)]
        key = next((key for key in ("label", "name") if hasattr(sample[0], key)), None)
        if key is not None:
            left = {getattr(each, key): each for each in old}
            right = {getattr(each, key): each for each in new}
            names = sorted(left.keys() | right.keys())
            return [each for one in names for each in self.object(name, left.get(one), right.get(one))]
        gone = [each for each in old if each not in new]
        come = [each for each in new if each not in old]
        pairs = [(each, None) for each in gone] + [(None, each) for each in come]
        return [each for pair in pairs for each in self.object(name, *pair)]

    def texts(self, name: str, old: tuple[Any, ...], new: tuple[Any, ...]) -> list[ObjectDiff]:
        """A list of texts as an object with one field an element."""
        gone = [each for each in old if each not in new]
        come = [each for each in new if each not in old]
        if not gone and not come:
            return []
        fields = [FieldDiff(type="Added", name=name, old="", new=_text(each)) for each in come]
        fields += [FieldDiff(type="Deleted", name=name, old=_text(each), new="") for each in gone]
        if self.contextual:
            same = [_text(each) for each in new if each in old]
            fields += [FieldDiff(type="None", name=name, old=each, new=each) for each in same]
        return [ObjectDiff(type=_type(old or None, new or None, True), name=name, fields=tuple(fields))]


def _by_name(old: Sequence[Any], new: Sequence[Any]) -> list[tuple[str, Any, Any]]:
    left = {each.name: each for each in old}
    right = {each.name: each for each in new}
    return [(name, left.get(name), right.get(name)) for name in sorted(left.keys() | right.keys())]


def _at(items: tuple[Any, ...], at: int) -> Any:
    return items[at] if at < len(items) else None


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | bytes)


def _is_text_map(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"{len(value)} bytes" if value else ""
    return str(value)


def _flatten(name: str, value: Any, into: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            _flatten(f"{name}[{key}]" if name else str(key), each, into)
    elif isinstance(value, list | tuple):
        for at, each in enumerate(value):
            _flatten(f"{name}[{at}]", each, into)
    elif value is not None:
        into[name] = _text(value)
