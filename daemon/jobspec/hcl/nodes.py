"""Syntax nodes of HCL2: expressions and, above them, bodies not yet evaluated. Pure.

Theory: python-hcl2's tree is made for printing files back; these nodes are made for evaluation. Every
node knows its range.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from daemon.jobspec.diagnostics import Diagnostic
from daemon.jobspec.source import Range


@dataclass(slots=True, eq=False)
class Node:
    """Any expression."""

    range: Range


@dataclass(slots=True, eq=False)
class Literal(Node):
    """A number, true, false, null, or a string without interpolation."""

    value: Any


@dataclass(slots=True, eq=False)
class Broken(Node):
    """An expression that could not be read; its error is in `RawBody.found`."""


@dataclass(slots=True, eq=False)
class Template(Node):
    """Text with interpolations and directives. `parts` are strings, expressions, TemplateIf, TemplateFor."""

    parts: list[str | Node]


@dataclass(slots=True, eq=False)
class TemplateIf(Node):
    """`%{ if c }..%{ else }..%{ endif }`."""

    condition: Node
    then: list[str | Node]
    otherwise: list[str | Node]


@dataclass(slots=True, eq=False)
class TemplateFor(Node):
    """`%{ for k, v in c }..%{ endfor }`."""

    names: list[str]
    collection: Node
    body: list[str | Node]


@dataclass(slots=True, eq=False)
class Name(Node):
    """A root name: `var`, `local`, `each`, an iterator, or one that is left to run time."""

    name: str


@dataclass(slots=True, eq=False)
class GetAttr(Node):
    """`object.name`."""

    object: Node
    name: str
    name_range: Range


@dataclass(slots=True, eq=False)
class Index(Node):
    """`object[key]`, and `object.0`."""

    object: Node
    key: Node


@dataclass(slots=True, eq=False)
class Splat(Node):
    """`list[*].a.b` and `list.*.a`: the steps are applied to each element."""

    object: Node
    steps: list[tuple[Range, str | Node]]


@dataclass(slots=True, eq=False)
class Call(Node):
    """`name(arguments)`; with `expand` the last argument is a list of arguments."""

    name: str
    name_range: Range
    arguments: list[Node]
    expand: bool


@dataclass(slots=True, eq=False)
class TupleNode(Node):
    """`[a, b]`."""

    items: list[Node]


@dataclass(slots=True, eq=False)
class ObjectNode(Node):
    """`{ key = value }`."""

    items: list[tuple[Node, Node]]


@dataclass(slots=True, eq=False)
class For(Node):
    """`[for ...]` (key is None) and `{for ... : key => value}`."""

    names: list[str]
    collection: Node
    key: Node | None
    value: Node
    condition: Node | None
    group: bool


@dataclass(slots=True, eq=False)
class Unary(Node):
    """`-x`, `!x`."""

    operator: str
    operand: Node


@dataclass(slots=True, eq=False)
class Binary(Node):
    """`first op operand op operand ...`, one precedence, from the left."""

    first: Node
    rest: list[tuple[str, Node]]


@dataclass(slots=True, eq=False)
class Conditional(Node):
    """`c ? a : b`."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(slots=True, eq=False)
class RawAttribute:
    """`name = expression`."""

    name: str
    name_range: Range
    expression: Node


@dataclass(slots=True, eq=False)
class RawBlock:
    """`type label { ... }`."""

    type: str
    range: Range
    labels: list[tuple[str, Range]]
    body: RawBody


@dataclass(slots=True, eq=False)
class RawBody:
    """Attributes and blocks in the order of the text."""

    range: Range
    attributes: list[RawAttribute] = field(default_factory=list)
    blocks: list[RawBlock] = field(default_factory=list)
    loose: bool = False
    #: at the top: what is wrong inside strings, labels and heredocs, which the grammar lets pass.
    found: list[Diagnostic] = field(default_factory=list)
