"""A job's difference as text, the way `job plan` prints it. Pure.

Theory: `+` added, `-` deleted, `+/-` edited; markers in a column of their own; nanoseconds shown as durations.
Colour is markup in square brackets, as rich reads it, only when asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.jobspec.difftypes import FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff
from daemon.jobspec.duration import format_duration

_MARKS = {"Added": "+", "Deleted": "-", "Edited": "+/-", "None": ""}
_COLOURS = {"Added": "green", "Deleted": "red", "Edited": "yellow", "None": ""}
#: wire names of fields that hold nanoseconds.
DURATIONS = frozenset(
    {
        "Delay",
        "HealthyDeadline",
        "Interval",
        "KillTimeout",
        "LostAfter",
        "MaxDelay",
        "MaxRunDuration",
        "MinHealthyTime",
        "ProgressDeadline",
        "ShutdownDelay",
        "Stagger",
        "StopOnClientAfter",
    }
)


def render_diff(diff: JobDiff, *, verbose: bool = False, color: bool = False) -> str:
    """The text; `verbose` shows unchanged groups, tasks and fields too."""
    return "\n".join(_Printer(verbose, color).job(diff)) + "\n"


class _Printer:
    def __init__(self, verbose: bool, color: bool) -> None:
        self.verbose = verbose
        self.color = color

    def mark(self, kind: str, width: int = 0) -> str:
        """The marker, padded, in its colour."""
        text = _MARKS[kind]
        padding = " " * max(0, width - len(text))
        if not self.color or not text:
            return text + padding
        return f"[{_COLOURS[kind]}]{text}[/]{padding}"

    def shown(self, kind: str) -> bool:
        """Whether something of that kind is printed."""
        return self.verbose or kind != "None"

    def escape(self, text: str) -> str:
        """Text that is no markup."""
        return text.replace("[", "\\[") if self.color else text

    def line(self, indent: int, kind: str, text: str, width: int = 3) -> str:
        """One line: indentation, marker, text."""
        mark = self.mark(kind, width)
        return (
            f"{' ' * indent}{mark} {text}".rstrip() if mark.strip() else f"{' ' * (indent + width + 1)}{text}"
        )

    def job(self, diff: JobDiff) -> Iterator[str]:
        """The whole job."""
        head = f"Job: {self.quote(diff.id)}"
        yield f"{self.mark(diff.type)} {head}" if diff.type != "None" else head
        yield from self.content(0, diff.fields, diff.objects)
        for group in diff.task_groups:
            if self.shown(group.type) or group.updates:
                yield from self.group(group)

    def group(self, diff: TaskGroupDiff) -> Iterator[str]:
        """A group, with what would happen to its allocations."""
        updates = ", ".join(f"{count} {label}" for label, count in diff.updates.items())
        text = f"Task Group: {self.quote(diff.name)}" + (f" ({updates})" if updates else "")
        mark = self.mark(diff.type)
        yield f"{mark} {text}" if mark else text
        yield from self.content(2, diff.fields, diff.objects)
        for task in diff.tasks:
            if self.shown(task.type):
                yield from self.task(task)

    def task(self, diff: TaskDiff) -> Iterator[str]:
        """A task, with the consequence of its change."""
        notes = f" ({', '.join(diff.annotations)})" if diff.annotations else ""
        yield self.line(2, diff.type, f"Task: {self.quote(diff.name)}{notes}")
        if diff.type in ("Edited", "Added", "Deleted") or self.verbose:
            yield from self.content(4, diff.fields, diff.objects)

    def content(
        self, indent: int, fields: Sequence[FieldDiff], objects: Sequence[ObjectDiff]
    ) -> Iterator[str]:
        """Fields in a column, then objects."""
        shown = [field for field in fields if self.shown(field.type)]
        width = max((len(field.name) for field in shown), default=0)
        for field in shown:
            name = self.escape(field.name) + ":" + " " * (width - len(field.name))
            notes = f" ({', '.join(field.annotations)})" if field.annotations else ""
            yield self.line(indent, field.type, f"{name} {self.values(field)}{notes}")
        for each in objects:
            if self.shown(each.type):
                yield self.line(indent, each.type, f"{each.name} {{")
                yield from self.content(indent + 2, each.fields, each.objects)
                yield self.line(indent, "None", "}")

    def values(self, field: FieldDiff) -> str:
        """`old => new`, or the one there is."""
        old, new = (self.value(field.name, text) for text in (field.old, field.new))
        if field.type == "Edited":
            return f"{old} => {new}"
        return old if field.type == "Deleted" else new

    def value(self, name: str, text: str) -> str:
        """A value in quotes; nanoseconds as a duration."""
        if name in DURATIONS and text.lstrip("-").isdigit():
            text = format_duration(int(text))
        return self.quote(text)

    def quote(self, text: str) -> str:
        """In double quotes, on one line."""
        inner = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        inner = "".join(char if char.isprintable() else "\ufffd" for char in inner)
        return self.escape(f'"{inner}"')
