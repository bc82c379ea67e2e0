"""Reads a body by its table: values in, every unknown, repeated, unsupported or ill-typed key reported.

Theory: the reader knows nothing of jobs. It gives `Fields`, from which `build` makes structs, and it writes
down where every path stands (`group "g" > task "t" > driver`), so that a rule checked on the finished
struct can point to the text again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from daemon.jobspec.body import Attribute, Block, Body, Value, freeform
from daemon.jobspec.diagnostics import Diagnostic, error, nearest, warning
from daemon.jobspec.rules.problem import step
from daemon.jobspec.schema.tables import BlockDef, Child
from daemon.jobspec.schema.values import convert
from daemon.jobspec.source import Range
from daemon.jobspec.support import JOB, Support

Path = tuple[str, ...]


@dataclass(slots=True)
class Fields:
    """What a block says. Only what stood in the text is there."""

    path: Path
    range: Range
    labels: list[tuple[str, Range]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    blocks: dict[str, list[Fields]] = field(default_factory=dict)
    free: dict[str, Value] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The first label."""
        return self.labels[0][0] if self.labels else ""

    def one(self, name: str) -> Fields | None:
        """The single block of a type."""
        found = self.blocks.get(name)
        return found[0] if found else None

    def pick(self, *names: str, **renamed: str) -> dict[str, Any]:
        """Values given for keys, under the keys' or other names."""
        wanted = {name: name for name in names} | renamed
        return {field_: self.values[key] for field_, key in wanted.items() if key in self.values}


def _broken_names(body: Body) -> set[str]:
    """Names of a free-form body that hold, somewhere inside, what could not be evaluated."""
    return set(body.broken) | {block.type for block in body.blocks if _broken_names(block.body)}


def bare_word(value: Value) -> str:
    """The word, if a value is a word that lacks its quotes (`type = batch`): never a run-time reference."""
    if not isinstance(value.data, str) or not value.data.startswith("${"):
        return ""
    word = value.data[2:-1]
    plain = word.replace("-", "_").isidentifier() and not word.startswith("NOMAD_")
    return word if plain and value.range.text == word else ""


class Reader:
    """One run over one file. `api`: the text is the HTTP API's JSON."""

    def __init__(self, *, api: bool = False, support: Support = JOB) -> None:
        self.api = api
        self.support = support
        self.found: list[Diagnostic] = []
        self.places: dict[Path, Range] = {}
        #: free-form blocks by path, to find a place inside.
        self.frees: dict[Path, Value] = {}
        #: paths whose value is missing because it was wrong: rules on them are not checked.
        self.broken: set[Path] = set()

    def report(self, summary: str, place: Range, suggestion: str = "") -> None:
        """An error."""
        self.found.append(error(summary, place, suggestion=suggestion))

    def block(self, definition: BlockDef, block: Block, path: Path) -> Fields:
        """Read one block."""
        body = block.body
        result = Fields(path, block.range, list(block.labels))
        place = block.labels[0][1] if block.labels else block.range
        self.places[path] = block.range.to(place) if place.source is block.range.source else place
        self.broken |= {(*path, name) for name in body.broken}
        for attribute in body.attributes:
            self.attribute(definition, attribute, body, result)
        for inner in body.blocks:
            if definition.child(inner.type) is None:
                self.stray_block(definition, inner)
        for child in definition.children:
            self.children(definition, child, body, result)
        return result

    # Attributes

    def attribute(self, definition: BlockDef, attribute: Attribute, body: Body, result: Fields) -> None:
        """Read one attribute."""
        name = attribute.name
        key = definition.key(name)
        if key is None or (key.hidden and not self.api):
            child = definition.child(name)
            if child is None:
                self.stray_key(definition, attribute)
            elif not body.loose and child.block is not None:
                advice = f"write it without the equals sign: {name} {{ ... }}"
                self.report(f'"{name}" is a block', attribute.name_range, advice)
                self.broken.add((*result.path, name))
            return
        if (*result.path, name) in self.places and attribute is not self.first(body, name):
            self.report(f'"{name}" is given twice in this {definition.name}', attribute.name_range)
            return
        self.places[(*result.path, name)] = attribute.value.range
        word = bare_word(attribute.value)
        if word:
            summary = f'there is no value named "{word}" here'
            self.report(summary, attribute.value.range, f'text is written in quotes: {name} = "{word}"')
            self.broken.add((*result.path, name))
            return
        try:
            result.values[name] = convert(key.kind, attribute.value, api=self.api)
        except ValueError as failure:
            self.report(f'"{name}": {failure}', attribute.value.range)
            self.broken.add((*result.path, name))
            return
        if self.support.is_unsupported_value(definition.name, name, str(result.values[name])):
            what = f'{name} = "{result.values[name]}"'
            self.report(self.support.message.format(what=what), attribute.value.range)
            self.broken.add((*result.path, name))

    @staticmethod
    def first(body: Body, name: str) -> Attribute | None:
        """The first attribute of a name."""
        return next((each for each in body.attributes if each.name == name), None)

    def stray_key(self, definition: BlockDef, attribute: Attribute) -> None:
        """An attribute that the table does not have."""
        where = (definition.name, attribute.name)
        place = attribute.name_range
        if where in self.support.ignored:
            reason = self.support.ignored[where]
            self.found.append(warning(f'"{attribute.name}" has no effect: {reason}', place))
        elif where in self.support.refused:
            self.report(f'"{attribute.name}" cannot be used here', place, self.support.refused[where])
        elif where in self.support.unsupported:
            plain = attribute.value.plain()
            neutral = self.support.unsupported[where]
            if not any(plain == each and type(plain) is type(each) for each in neutral):
                self.report(self.support.message.format(what=f'"{attribute.name}"'), place)
        else:
            self.unknown(definition, attribute.name, place, "key")

    # Blocks

    def stray_block(self, definition: BlockDef, block: Block) -> None:
        """A block that the table does not have."""
        where = (definition.name, block.type)
        if where in self.support.unsupported:
            self.report(self.support.message.format(what=f'the block "{block.type}"'), block.range)
        elif where in self.support.refused:
            self.report(f'"{block.type}" cannot be used here', block.range, self.support.refused[where])
        elif definition.key(block.type) is not None:
            advice = f"write {block.type} = ..."
            self.report(f'"{block.type}" is an attribute, not a block', block.range, advice)
        else:
            self.unknown(definition, block.type, block.range, "block")

    def unknown(self, definition: BlockDef, name: str, place: Range, what: str) -> None:
        """Report a name that nobody knows."""
        known = [each.name for each in definition.keys if not each.hidden]
        known += [each.name for each in definition.children]
        advice = nearest(name, [*known, *self.support.names(definition.name)])
        if not advice and known:
            advice = f"known here: {', '.join(sorted(known))}"
        self.report(f'a {definition.name} has no {what} "{name}"', place, advice)

    def children(self, definition: BlockDef, child: Child, body: Body, result: Fields) -> None:
        """Read all blocks of one type."""
        if child.block is None:
            self.free(child, body, result)
            return
        blocks = body.take_blocks(child.name, child.labels)
        if body.loose:
            self.loose_leftovers(child, body, blocks, result)
        if not child.many and len(blocks) > 1:
            for extra in blocks[1:]:
                self.report(f'only one block "{child.name}" may stand in a {definition.name}', extra.range)
            blocks = blocks[:1]
        named: Counter[str] = Counter()
        read = result.blocks[child.name] = []
        for block in blocks:
            if self.labels_fit(child, block):
                label = block.labels[0][0] if block.labels else ""
                named[label] += 1
                at = f"{child.name}[{len(read)}]" if child.many else child.name
                path = (*result.path, step(child.name, label, named[label]) if block.labels else at)
                read.append(self.block(child.block, block, path))

    def loose_leftovers(self, child: Child, body: Body, blocks: list[Block], result: Fields) -> None:
        """In JSON: a value under a block's name that cannot be read as one."""
        for attribute in body.attributes:
            if attribute.name == child.name and not blocks and attribute.value.data not in (None, [], {}):
                labels = " by name" if child.labels else ""
                summary = f'"{child.name}" is an object{labels} here, not {attribute.value.kind}'
                self.report(summary, attribute.value.range)
                self.broken.add((*result.path, child.name))

    def labels_fit(self, child: Child, block: Block) -> bool:
        """Report a wrong number of labels."""
        if len(block.labels) == child.labels:
            return True
        wanted = "one label, its name" if child.labels else "no label"
        example = f'{child.name} "name" {{ ... }}' if child.labels else f"{child.name} {{ ... }}"
        place = block.labels[child.labels][1] if len(block.labels) > child.labels else block.range
        self.report(f'the block "{child.name}" has {wanted}', place, f"write {example}")
        return False

    def free(self, child: Child, body: Body, result: Fields) -> None:
        """Read a free-form block, or the attribute of that name."""
        given: list[Value] = []
        for attribute in body.attributes:
            if attribute.name == child.name and not (body.loose and attribute.value.data is None):
                value = attribute.value
                if isinstance(value.data, list) and body.loose and len(value.data) == 1:
                    value = value.data[0]
                given.append(value)
        for block in body.blocks:
            if block.type == child.name and self.labels_fit(child, block):
                given.append(freeform(block.body))
                self.broken |= {(*result.path, child.name, name) for name in _broken_names(block.body)}
                for attribute in self.repeated(block.body):
                    self.report(
                        f'"{attribute.name}" is given twice in this {child.name}', attribute.name_range
                    )
        for extra in given[1:]:
            self.report(f'"{child.name}" is given twice', extra.range, "put everything into one")
        if given and not isinstance(given[0].data, dict):
            self.report(f'"{child.name}" is an object here, not {given[0].kind}', given[0].range)
            self.broken.add((*result.path, child.name))
        elif given:
            result.free[child.name] = self.frees[(*result.path, child.name)] = given[0]
            self.places[(*result.path, child.name)] = given[0].range

    @staticmethod
    def repeated(body: Body) -> list[Attribute]:
        """Attributes that stand a second time."""
        seen: set[str] = set()
        result = []
        for attribute in body.attributes:
            if attribute.name in seen:
                result.append(attribute)
            seen.add(attribute.name)
        return result

    def text_map(self, fields: Fields, name: str) -> dict[str, str]:
        """A free-form block whose values are texts."""
        value = fields.free.get(name)
        if value is None:
            return {}
        result: dict[str, str] = {}
        for key, each in value.data.items():
            try:
                result[key] = convert("string", each)
            except ValueError as failure:
                place = each.range if each.range.source else value.range
                self.report(f'"{key}" in {name}: {failure}', place)
        return result
