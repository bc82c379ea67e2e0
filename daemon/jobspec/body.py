"""A parsed and evaluated body: attributes and blocks with their places. One shape for all dialects. Pure.

Theory: HCL2 says itself what is an attribute (`a = 1`) and what is a block (`a {}`). JSON and the classic
dialect do not, so their bodies are `loose`: the schema asks for a block by its number of labels, and an
attribute that holds an object (or a list of objects) serves as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from daemon.jobspec.source import Range


@dataclass(slots=True, eq=False)
class Value:
    """A value and its place. `data` is None, bool, int, float, str, list[Value] or dict[str, Value]."""

    data: Any
    range: Range
    #: places of the keys of a dict, where known.
    keys: dict[str, Range] = field(default_factory=dict)

    def plain(self) -> Any:
        """The value without its places."""
        if isinstance(self.data, list):
            return [each.plain() for each in self.data]
        if isinstance(self.data, dict):
            return {key: each.plain() for key, each in self.data.items()}
        return self.data

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return kind_of(self.data)


def kind_of(data: Any) -> str:
    """The word for a value's type."""
    if data is None:
        return "null"
    if isinstance(data, bool):
        return "a boolean"
    if isinstance(data, int | float):
        return "a number"
    if isinstance(data, str):
        return "a string"
    return "a list" if isinstance(data, list | tuple) else "an object"


def wrap(data: Any, range_: Range) -> Value:
    """Give plain data one place throughout."""
    if isinstance(data, list | tuple):
        return Value([wrap(each, range_) for each in data], range_)
    if isinstance(data, dict):
        return Value({str(key): wrap(each, range_) for key, each in data.items()}, range_)
    return Value(data, range_)


@dataclass(slots=True, eq=False)
class Attribute:
    """`name = value`."""

    name: str
    name_range: Range
    value: Value


@dataclass(slots=True, eq=False)
class Block:
    """`type "label" { ... }`."""

    type: str
    range: Range
    labels: list[tuple[str, Range]]
    body: Body


@dataclass(slots=True, eq=False)
class Body:
    """What stands between two braces, or in a file. `range` is where a missing key is reported."""

    range: Range
    attributes: list[Attribute] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    loose: bool = False
    #: attributes whose value could not be evaluated (the error is reported): not missing, not usable.
    broken: dict[str, Range] = field(default_factory=dict)

    def names(self) -> Iterator[tuple[str, Range]]:
        """All attribute and block names with their places."""
        for attribute in self.attributes:
            yield attribute.name, attribute.name_range
        for block in self.blocks:
            yield block.type, block.range

    def take_blocks(self, type_: str, labels: int) -> list[Block]:
        """Blocks of a type; in a loose body also the attributes that can be read as such."""
        found = [block for block in self.blocks if block.type == type_]
        if not self.loose:
            return found
        result = [each for block in found for each in relabel(block, labels)]
        for attribute in self.attributes:
            if attribute.name == type_:
                result += blocks_of_value(type_, attribute.name_range, attribute.value, labels)
        return result


def relabel(block: Block, labels: int) -> list[Block]:
    """A loose block with too few labels holds the labels as keys inside: `port { db {} }`."""
    missing = labels - len(block.labels)
    if missing <= 0 or not block.body.loose:
        return [block]
    result: list[Block] = []
    for inner in block.body.blocks:
        label = [*block.labels, (inner.type, inner.range), *inner.labels]
        result += relabel(Block(block.type, block.range, label, inner.body), labels)
    for attribute in block.body.attributes:
        for made in blocks_of_value(block.type, block.range, attribute.value, labels - len(block.labels) - 1):
            made.labels = [*block.labels, (attribute.name, attribute.name_range), *made.labels]
            result.append(made)
    return result or [block]


def blocks_of_value(type_: str, place: Range, value: Value, labels: int) -> list[Block]:
    """Blocks that an object, or a list of objects, of a loose body stands for."""
    if isinstance(value.data, list):
        return [block for each in value.data for block in blocks_of_value(type_, place, each, labels)]
    if not isinstance(value.data, dict):
        return []
    if labels == 0:
        return [Block(type_, place, [], body_of_value(value))]
    result = []
    for key, inner in value.data.items():
        where = value.keys.get(key, value.range)
        for block in blocks_of_value(type_, where, inner, labels - 1):
            block.labels.insert(0, (key, where))
            result.append(block)
    return result


def body_of_value(value: Value) -> Body:
    """An object read as a loose body."""
    attributes = [Attribute(key, value.keys.get(key, each.range), each) for key, each in value.data.items()]
    return Body(value.range, attributes, [], loose=True)


def freeform(body: Body) -> Value:
    """A body read as one object: a block becomes a list of objects under its type, labels nested keys."""
    data: dict[str, Value] = {}
    keys: dict[str, Range] = {}
    for attribute in body.attributes:
        data[attribute.name] = attribute.value
        keys[attribute.name] = attribute.name_range
    for block in body.blocks:
        inner = freeform(block.body)
        for label, place in reversed(block.labels):
            inner = Value({label: Value([inner], place)}, block.range, {label: place})
        keys.setdefault(block.type, block.range)
        held = data.get(block.type)
        if held is not None and isinstance(held.data, list):
            held.data.append(inner)
        else:
            data[block.type] = Value([inner], block.range)
    return Value(data, body.range, keys)
