"""The evaluator: syntax nodes and names in, plain values out, every failure at its place.

Theory: names that are neither `var`, `local` nor bound by a `for` or an iterator belong to run time
(`attr`, `meta`, `node`, `env`, `NOMAD_...`): the whole reference stays as literal `${...}` text.
Non-goals: unknown values and marks of other HCL programs; everything here is known.

Source: HCL's syntax specification; spec/nomad-surface.md C1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.jobspec.body import Value, kind_of, wrap
from daemon.jobspec.diagnostics import DiagnosticError, error, nearest
from daemon.jobspec.hcl import nodes as n
from daemon.jobspec.hcl import operators
from daemon.jobspec.hcl.convert import ConversionError, equal, to_bool, to_int, to_text
from daemon.jobspec.source import Range

#: results larger than this are refused: a template in nested loops must not eat the memory.
SIZE_MAX = 4_000_000
#: nodes evaluated and loop turns taken for one file: about two seconds.
STEPS_MAX = 500_000


class _Poison:
    """A value that could not be had; the reason is reported, so its users fail in silence."""


POISON = _Poison()


@dataclass(slots=True)
class Scope:
    """Names that an expression sees, and whether functions may read files."""

    names: dict[str, Any] = field(default_factory=dict)
    #: folder against which file functions resolve; None: they are refused.
    folder: str | None = None
    #: what is said of a known root without the name asked for, by root.
    labels: Mapping[str, str] = field(default_factory=lambda: {"var": "variable", "local": "local value"})
    steps: list[int] = field(default_factory=lambda: [0])
    #: whether names that are not known here belong to run time; in variables' values they are mistakes.
    runtime: bool = True

    def child(self, names: Mapping[str, Any]) -> Scope:
        """A scope with more names."""
        return Scope({**self.names, **names}, self.folder, self.labels, self.steps, self.runtime)


def fail(summary: str, place: Range, suggestion: str = "") -> DiagnosticError:
    """The error to raise."""
    return DiagnosticError(error(summary, place, suggestion=suggestion))


def evaluate(node: n.Node, scope: Scope) -> Any:
    """The plain value of an expression.

    Raises: DiagnosticError at the innermost place.
    """
    _count(1, node, scope)
    method = _METHODS[type(node)]
    try:
        return method(node, scope)
    except ConversionError as failure:
        raise fail(str(failure), node.range) from None


def _count(steps: int, node: n.Node, scope: Scope) -> None:
    scope.steps[0] += steps
    if scope.steps[0] > STEPS_MAX:
        raise fail("evaluating this file takes too many steps", node.range)


def locate(node: n.Node, scope: Scope) -> Value:
    """The value with places: elements of written lists and objects keep their own."""
    if isinstance(node, n.TupleNode):
        return Value([locate(each, scope) for each in node.items], node.range)
    if isinstance(node, n.ObjectNode):
        data: dict[str, Value] = {}
        keys: dict[str, Range] = {}
        for key_node, value_node in node.items:
            key = _new_key(key_node, scope, data)
            data[key] = locate(value_node, scope)
            keys[key] = key_node.range
        return Value(data, node.range, keys)
    return wrap(evaluate(node, scope), node.range)


def _key_text(node: n.Node, scope: Scope) -> str:
    value = evaluate(node, scope)
    try:
        return to_text(value)
    except ConversionError as failure:
        raise fail(f"as a key {failure}", node.range) from None


def _new_key(node: n.Node, scope: Scope, taken: Mapping[str, Any]) -> str:
    key = _key_text(node, scope)
    if key in taken:
        raise fail(f'the key "{key}" is given twice', node.range)
    return key


def _literal(node: n.Literal, scope: Scope) -> Any:
    return node.value


def _broken(node: n.Broken, scope: Scope) -> Any:
    raise DiagnosticError


def _template(node: n.Template, scope: Scope) -> Any:
    if len(node.parts) == 1 and isinstance(node.parts[0], n.Node):
        only = node.parts[0]
        if not isinstance(only, n.TemplateIf | n.TemplateFor):
            return evaluate(only, scope)
    return _text(node.parts, scope, node.range)


def _text(parts: list[str | n.Node], scope: Scope, place: Range) -> str:
    pieces: list[str] = []
    size = 0
    for part in parts:
        if isinstance(part, str):
            piece = part
        elif isinstance(part, n.TemplateIf):
            chosen = part.then if _condition(part.condition, scope) else part.otherwise
            piece = _text(chosen, scope, part.range)
        elif isinstance(part, n.TemplateFor):
            turns = _iterate(part.collection, part.names, scope)
            piece = "".join(_text(part.body, inner, part.range) for inner in turns)
        else:
            value = evaluate(part, scope)
            try:
                piece = to_text(value)
            except ConversionError as failure:
                raise fail(f"in a template {failure}", part.range) from None
        size += len(piece)
        if size > SIZE_MAX:
            raise fail("this template makes too much text", place)
        pieces.append(piece)
    return "".join(pieces)


def _condition(node: n.Node, scope: Scope) -> bool:
    value = evaluate(node, scope)
    try:
        return to_bool(value)
    except ConversionError as failure:
        raise fail(f"as a condition {failure}", node.range) from None


def _iterate(node: n.Node, names: list[str], scope: Scope) -> list[Scope]:
    collection = evaluate(node, scope)
    if isinstance(collection, dict):
        pairs: list[tuple[Any, Any]] = sorted(collection.items())
    elif isinstance(collection, list | tuple):
        pairs = list(enumerate(collection))
    else:
        raise fail(f"a list or an object is needed here, not {kind_of(collection)}", node.range)
    _count(len(pairs), node, scope)
    if len(names) == 1:
        return [scope.child({names[0]: value}) for _, value in pairs]
    return [scope.child({names[0]: key, names[1]: value}) for key, value in pairs]


def root_of(node: n.Node) -> n.Name | None:
    """The name at the root of a reference (`a.b[0].c`), if it is one."""
    while True:
        if isinstance(node, n.Name):
            return node
        if isinstance(node, n.GetAttr) or (isinstance(node, n.Index) and isinstance(node.key, n.Literal)):
            node = node.object
        else:
            return None


def _runtime_text(node: n.Node, scope: Scope) -> str | None:
    root = root_of(node)
    if root is None or root.name in scope.names:
        return None
    _need_runtime(root, scope)
    return "${" + root.range.to(node.range).text.strip() + "}"


def _need_runtime(root: n.Name, scope: Scope) -> None:
    if not scope.runtime:
        advice = f'text is written in quotes: "{root.name}"'
        raise fail(f'there is no value named "{root.name}" here', root.range, advice)


def _name(node: n.Name, scope: Scope) -> Any:
    if node.name in scope.names:
        held = scope.names[node.name]
        if isinstance(held, dict) and any(each is POISON for each in held.values()):
            raise DiagnosticError
        return held
    _need_runtime(node, scope)
    return "${" + node.name + "}"


def _get_attr(node: n.GetAttr, scope: Scope) -> Any:
    literal = _runtime_text(node, scope)
    if literal is not None:
        return literal
    return attribute(_root(node.object, scope), node.name, node.name_range, _label(node.object, scope))


def _root(node: n.Node, scope: Scope) -> Any:
    """The object of a reference; of `var` and `local` only the part asked for needs to be sound."""
    if isinstance(node, n.Name) and node.name in scope.names:
        return scope.names[node.name]
    return evaluate(node, scope)


def _label(node: n.Node, scope: Scope) -> str:
    return scope.labels.get(node.name, "") if isinstance(node, n.Name) else ""


def attribute(held: Any, name: str, place: Range, label: str = "") -> Any:
    """`held.name`."""
    if isinstance(held, dict):
        if name in held:
            if held[name] is POISON:
                raise DiagnosticError
            return held[name]
        what = f'no {label} named "{name}" is declared' if label else f'there is no attribute "{name}" here'
        raise fail(what, place, nearest(name, held))
    raise fail(f'{kind_of(held)} has no attribute "{name}"', place)


def _index(node: n.Index, scope: Scope) -> Any:
    literal = _runtime_text(node, scope)
    if literal is not None:
        return literal
    held = _root(node.object, scope)
    return element(held, evaluate(node.key, scope), node.key.range, _label(node.object, scope))


def element(held: Any, key: Any, place: Range, label: str = "") -> Any:
    """`held[key]`."""
    if isinstance(held, dict):
        return attribute(held, to_text(key), place, label)
    if isinstance(held, list | tuple):
        at = to_int(key)
        if 0 <= at < len(held):
            return held[at]
        raise fail(f"there is no element {at} in a list of {len(held)}", place)
    raise fail(f"{kind_of(held)} has no elements", place)


def _splat(node: n.Splat, scope: Scope) -> Any:
    held = evaluate(node.object, scope)
    items = [] if held is None else held if isinstance(held, list | tuple) else [held]
    result = []
    for item in items:
        for place, step in node.steps:
            if isinstance(step, str):
                item = attribute(item, step, place)
            else:
                item = element(item, evaluate(step, scope), place)
        result.append(item)
    return result


def _call(node: n.Call, scope: Scope) -> Any:
    from daemon.jobspec.hcl.functions import call

    return call(node, scope)


def _tuple(node: n.TupleNode, scope: Scope) -> Any:
    return [evaluate(each, scope) for each in node.items]


def _object(node: n.ObjectNode, scope: Scope) -> Any:
    result: dict[str, Any] = {}
    for key, value in node.items:
        result[_new_key(key, scope, result)] = evaluate(value, scope)
    return result


def _for(node: n.For, scope: Scope) -> Any:
    turns = _iterate(node.collection, node.names, scope)
    if node.condition is not None:
        turns = [inner for inner in turns if _condition(node.condition, inner)]
    if node.key is None:
        return [evaluate(node.value, inner) for inner in turns]
    result: dict[str, Any] = {}
    for inner in turns:
        key = _key_text(node.key, inner)
        value = evaluate(node.value, inner)
        if node.group:
            result.setdefault(key, []).append(value)
        elif key in result:
            advice = "add ... after the value to group by key"
            raise fail(f'two elements have the key "{key}"', node.key.range, advice)
        else:
            result[key] = value
    return result


def _unary(node: n.Unary, scope: Scope) -> Any:
    return operators.unary(node.operator, evaluate(node.operand, scope))


def _binary(node: n.Binary, scope: Scope) -> Any:
    value = evaluate(node.first, scope)
    for operator, right in node.rest:
        if operator in ("&&", "||"):
            left = to_bool(value)
            value = left if left is (operator == "||") else to_bool(evaluate(right, scope))
        elif operator in ("==", "!="):
            value = equal(value, evaluate(right, scope)) is (operator == "==")
        else:
            value = operators.binary(operator, value, evaluate(right, scope))
    return value


def _conditional(node: n.Conditional, scope: Scope) -> Any:
    return evaluate(node.then if _condition(node.condition, scope) else node.otherwise, scope)


_METHODS: dict[type[n.Node], Callable[[Any, Scope], Any]] = {
    n.Literal: _literal,
    n.Broken: _broken,
    n.Template: _template,
    n.Name: _name,
    n.GetAttr: _get_attr,
    n.Index: _index,
    n.Splat: _splat,
    n.Call: _call,
    n.TupleNode: _tuple,
    n.ObjectNode: _object,
    n.For: _for,
    n.Unary: _unary,
    n.Binary: _binary,
    n.Conditional: _conditional,
}
