"""The HTTP API's JSON form of a job, translated into the body that the schema reads. Pure.

Theory: one schema serves every form, so the wire's names become the job file's, and every value keeps its
place. Null, and what an inspected job prints for things that it does not use (empty lists, defaults), is
dropped; anything else that is not acted on reaches the schema under its job-file name and is refused there.
Names are matched without regard to case, as Go does.

Source: spec/nomad-surface.md B2, C1, F3.
"""

from __future__ import annotations

from typing import Any

from daemon.jobspec.apinames import BLOCKS, DROPPED, NEUTRAL, ApiBlock
from daemon.jobspec.body import Attribute, Block, Body, Value
from daemon.jobspec.diagnostics import DiagnosticError, error, nearest
from daemon.jobspec.source import Range


def is_api_job(value: Value) -> bool:
    """Whether a JSON object is the API's form: `{"Job": {...}}`, or a bare job with Go's names."""
    return isinstance(value.data, dict) and any(key in value.data for key in ("Job", "ID", "TaskGroups"))


def body_of_api_job(value: Value) -> Body:
    """A top-level body with one block `job`.

    Raises: DiagnosticError with everything that has no translation.
    """
    place = value.range.source.range(value.range.start, value.range.start + 1)
    held = value.data.get("Job", value)
    if not isinstance(held.data, dict):
        raise DiagnosticError(error(f'"Job" is an object, not {held.kind}', held.range))
    translator = _Translator()
    body = translator.body("job", held)
    name = next((each for each in body.attributes if each.name == "id"), None)
    label = (str(name.value.data), name.value.range) if name else ("", place)
    if translator.found:
        raise DiagnosticError(*translator.found)
    return Body(value.range, blocks=[Block("job", place, [label], body)])


class _Translator:
    def __init__(self) -> None:
        self.found: list[Any] = []

    def body(self, kind: str, value: Value, skip: tuple[str, ...] = ()) -> Body:
        """An object of a kind as a body."""
        names = BLOCKS[kind]
        lower = {key.lower(): key for key in names.all_keys()}
        body = Body(value.range)
        for written, inner in value.data.items():
            key = lower.get(written.lower(), written)
            if inner.data is None or key in skip or key in DROPPED.get(kind, ()):
                continue
            plain = inner.plain()
            if key in names.unused:
                empty = plain in (False, 0, "", [], {})
                if not empty and plain != NEUTRAL.get((kind, key)):
                    self.unused(names, key, value.keys[written], inner, body)
            elif key in names.attributes:
                name = names.attributes[key]
                body.attributes.append(Attribute(name, value.keys[written], inner))
            elif key in names.blocks:
                self.inner(names, key, value.keys[written], inner, body)
            else:
                advice = nearest(written, lower.values())
                summary = f'a {kind.replace("_", " ")} has no field "{written}"'
                self.found.append(error(summary, value.keys[written], suggestion=advice))
        return body

    @staticmethod
    def unused(names: ApiBlock, key: str, place: Range, value: Value, body: Body) -> None:
        """Hand a field that is not acted on to the schema, under its job-file name."""
        name = names.unused[key]
        if isinstance(value.data, dict | list):
            body.blocks.append(Block(name, place, [], Body(value.range)))
        else:
            body.attributes.append(Attribute(name, place, value))

    def inner(self, names: ApiBlock, key: str, place: Range, value: Value, body: Body) -> None:
        """Blocks from an object, a list of objects, or an object by name."""
        name, kind, label = names.blocks[key]
        if kind == "free":
            body.attributes.append(Attribute(name, place, value))
            return
        if label == "{}":
            self.named(name, kind, place, value, body)
            return
        items = value.data if isinstance(value.data, list) else [value]
        for item in items:
            if not isinstance(item.data, dict):
                self.found.append(error(f'"{key}" holds objects, not {item.kind}', item.range))
                continue
            labels: list[tuple[str, Range]] = []
            if label:
                given = next((v for k, v in item.data.items() if k.lower() == label.lower()), None)
                if given is None or not isinstance(given.data, str):
                    self.found.append(error(f'"{label}" is missing in this {name}', item.range))
                    continue
                labels.append((given.data, given.range))
            inner = self.body(kind, item, (label,))
            body.blocks.append(Block(name, place, labels, inner))

    def named(self, name: str, kind: str, place: Range, value: Value, body: Body) -> None:
        """Blocks from an object whose keys are the labels."""
        if not isinstance(value.data, dict):
            self.found.append(error(f'"{name}" is an object by name, not {value.kind}', value.range))
            return
        for label, item in value.data.items():
            if isinstance(item.data, dict):
                made = self.body(kind, item, ("Name",))
                body.blocks.append(Block(name, place, [(label, value.keys[label])], made))
