"""HCL in JSON: a JSON object read as a body, its strings as templates. Pure.

Theory: JSON cannot say whether `{}` is a block or an object, so bodies below the top are `loose` and the
schema decides. Places are those of the JSON text; a fault inside a string that has escapes points to the
string as a whole.

Source: HCL's JSON syntax specification.
"""

from __future__ import annotations

from daemon.jobspec.body import Value
from daemon.jobspec.diagnostics import Diagnostic, DiagnosticError, error
from daemon.jobspec.hcl import nodes as n
from daemon.jobspec.hcl.build import read_expression
from daemon.jobspec.hcl.template import assemble, read_template
from daemon.jobspec.source import Range, Source

#: top-level keys and how many labels their blocks have.
TOP = {"job": 1, "variable": 1, "variables": 0, "locals": 0}


def raw_body(value: Value, labels: dict[str, int]) -> n.RawBody:
    """A JSON object as a top-level body.

    Raises: DiagnosticError.
    """
    body = n.RawBody(value.range)
    for key, inner in value.data.items():
        place = value.keys[key]
        if key in labels:
            body.blocks += _blocks(key, place, inner, labels[key], [])
        elif key != "//":
            body.attributes.append(n.RawAttribute(key, place, node_of(inner)))
    return body


def _blocks(
    type_: str, place: Range, value: Value, labels: int, taken: list[tuple[str, Range]]
) -> list[n.RawBlock]:
    if isinstance(value.data, list):
        return [made for each in value.data for made in _blocks(type_, place, each, labels, taken)]
    if not isinstance(value.data, dict):
        raise DiagnosticError(error(f'"{type_}" is an object here, not {value.kind}', value.range))
    if labels == 0:
        inner = raw_body(value, {"validation": 0} if type_ == "variable" else {})
        inner.loose = True
        return [n.RawBlock(type_, place, taken, inner)]
    return [
        made
        for key, each in value.data.items()
        if key != "//"
        for made in _blocks(type_, place, each, labels - 1, [*taken, (key, value.keys[key])])
    ]


def node_of(value: Value) -> n.Node:
    """A JSON value as an expression."""
    if isinstance(value.data, list):
        return n.TupleNode(value.range, [node_of(each) for each in value.data])
    if isinstance(value.data, dict):
        items: list[tuple[n.Node, n.Node]] = [
            (n.Literal(value.keys[key], key), node_of(each))
            for key, each in value.data.items()
            if key != "//"
        ]
        return n.ObjectNode(value.range, items)
    if isinstance(value.data, str) and ("${" in value.data or "%{" in value.data):
        return _template(value)
    return n.Literal(value.range, value.data)


def _template(value: Value) -> n.Node:
    text, place = value.data, value.range
    in_place = place.text[1:-1] == text
    source = place.source if in_place else Source(f"{place} (the text of this string)", text)
    start = place.start + 1 if in_place else 0

    def read(first: int, last: int) -> n.Node:
        return read_expression(source, first, last, 1)

    try:
        pieces = read_template(source, start, start + len(text), read)
        node = assemble(pieces, place)
    except DiagnosticError as failure:
        if in_place:
            raise
        moved = [
            Diagnostic(d.severity, d.summary, d.detail, place, d.suggestion) for d in failure.diagnostics
        ]
        raise DiagnosticError(*moved) from None
    return node
