"""Input variables and locals.

Theory: `variable` blocks declare; values come, the later winning, from the default, the environment
(`NOMAD_VAR_x`), variable files in order, and `-var`. Text from outside is taken as it stands for a string,
number or boolean, else read as an expression. Locals may stand in any order: they are tried until none is
left, and a circle is an error.

Source: spec/nomad-surface.md C1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.jobspec.diagnostics import Diagnostic, DiagnosticError, error, nearest
from daemon.jobspec.hcl import nodes as n
from daemon.jobspec.hcl.build import read_body, read_expression
from daemon.jobspec.hcl.convert import ConversionError, to_bool, to_text
from daemon.jobspec.hcl.evaluate import POISON, Scope, evaluate, fail
from daemon.jobspec.hcl.types import ANY, Type, infer, read_type
from daemon.jobspec.source import Range, Source

_PREFIX = "NOMAD_VAR_"
_KEYS = ("type", "default", "description")


@dataclass(slots=True)
class Inputs:
    """Values from outside the job file."""

    variables: Mapping[str, str] = field(default_factory=dict)
    var_files: list[tuple[str, str]] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    strict: bool = True


@dataclass(slots=True)
class _Variable:
    name: str
    range: Range
    type: Type = ANY
    has_default: bool = False
    default: Any = None
    value: Any = None
    is_set: bool = False
    set_at: Range | None = None
    validations: list[n.RawBlock] = field(default_factory=list)


def resolve_variables(
    body: n.RawBody, inputs: Inputs, folder: str | None
) -> tuple[dict[str, Any], list[Diagnostic]]:
    """Values of all variables, and what is wrong with them."""
    found: list[Diagnostic] = []
    declared: dict[str, _Variable] = {}
    for variable in _declarations(body, found):
        if variable.name in declared:
            found.append(error(f'the variable "{variable.name}" is declared twice', variable.range))
        declared.setdefault(variable.name, variable)
    for key, text in inputs.environment.items():
        variable_ = declared.get(key.removeprefix(_PREFIX)) if key.startswith(_PREFIX) else None
        if variable_ is not None:
            _set_text(variable_, text, f"environment variable {key}", found)
    for name, text in inputs.var_files:
        _read_file(name, text, declared, inputs.strict, found)
    for key, text in inputs.variables.items():
        variable_ = declared.get(key)
        if variable_ is not None:
            _set_text(variable_, text, f"-var {key}", found)
        elif inputs.strict:
            source = Source(f"-var {key}", f"{key}={text}")
            advice = nearest(key, declared) or "declare it with a variable block, or drop it"
            found.append(
                error(f'no variable "{key}" is declared', source.range(0, len(key)), suggestion=advice)
            )
    values: dict[str, Any] = {}
    for variable in declared.values():
        if variable.is_set:
            values[variable.name] = variable.value
        elif variable.has_default:
            values[variable.name] = variable.default
        else:
            advice = f"give it a default, or a value with -var {variable.name}=..."
            found.append(
                error(f'the variable "{variable.name}" has no value', variable.range, suggestion=advice)
            )
            values[variable.name] = POISON
    for variable in declared.values():
        _validate(variable, values, folder, found)
    return values, found


def _declarations(body: n.RawBody, found: list[Diagnostic]) -> list[_Variable]:
    result = []
    for block in body.blocks:
        try:
            if block.type == "variable":
                result.append(_declaration(block, found))
            elif block.type == "variables":
                for attribute in block.body.attributes:
                    value = evaluate(attribute.expression, Scope(runtime=False))
                    made = _Variable(attribute.name, attribute.name_range, infer(value), True, value)
                    result.append(made)
        except DiagnosticError as failure:
            found += failure.diagnostics
            if len(block.labels) == 1:
                result.append(_Variable(*block.labels[0], has_default=True, default=POISON))
    return result


def _declaration(block: n.RawBlock, found: list[Diagnostic]) -> _Variable:
    if len(block.labels) != 1:
        raise fail("a variable block has one label: its name", block.range)
    variable = _Variable(block.labels[0][0], block.labels[0][1])
    typed = False
    for attribute in block.body.attributes:
        if attribute.name == "type":
            variable.type, typed = read_type(attribute.expression), True
        elif attribute.name == "default":
            variable.default, variable.has_default = (
                evaluate(attribute.expression, Scope(runtime=False)),
                True,
            )
        elif attribute.name not in _KEYS:
            advice = nearest(attribute.name, [*_KEYS, "validation"])
            found.append(
                error(f'a variable has no key "{attribute.name}"', attribute.name_range, suggestion=advice)
            )
    for inner in block.body.blocks:
        if inner.type == "validation":
            variable.validations.append(inner)
        else:
            found.append(error(f'a variable has no block "{inner.type}"', inner.range))
    if variable.has_default and not typed:
        variable.type = infer(variable.default)
    elif not typed:
        variable.type = Type("string")
    if variable.has_default:
        place = next(each for each in block.body.attributes if each.name == "default").expression.range
        variable.default = _converted(variable, variable.default, place, found)
    return variable


def _converted(variable: _Variable, value: Any, place: Range, found: list[Diagnostic]) -> Any:
    try:
        return variable.type.convert(value)
    except ConversionError as failure:
        found.append(error(f'the value of the variable "{variable.name}" does not fit: {failure}', place))
        return POISON


def _set(variable: _Variable, value: Any, place: Range, found: list[Diagnostic]) -> None:
    variable.value, variable.is_set, variable.set_at = _converted(variable, value, place, found), True, place


def _set_text(variable: _Variable, text: str, origin: str, found: list[Diagnostic]) -> None:
    source = Source(origin, text)
    place = source.range(0, len(text))
    value: Any = text
    if not variable.type.is_text:
        try:
            value = evaluate(read_expression(source, 0, len(text)), Scope(runtime=False))
        except DiagnosticError as failure:
            found += failure.diagnostics
            variable.value, variable.is_set, variable.set_at = POISON, True, place
            return
    _set(variable, value, place, found)


def _read_file(
    name: str, text: str, declared: dict[str, _Variable], strict: bool, found: list[Diagnostic]
) -> None:
    from daemon.jobspec.jsontext import read_json_values

    source = Source(name, text)
    try:
        if text.lstrip().startswith("{"):
            entries = read_json_values(source)
        else:
            body = read_body(source)
            found += body.found
            for block in body.blocks:
                what = "a variable file only sets values; declare variables in the job file"
                found.append(
                    error(f'a variable file has no blocks ("{block.type}")', block.range, suggestion=what)
                )
            entries = [
                (a.name, a.name_range, evaluate(a.expression, Scope(runtime=False)), a.expression.range)
                for a in body.attributes
            ]
    except DiagnosticError as failure:
        found += failure.diagnostics
        return
    for key, key_range, value, place in entries:
        variable = declared.get(key)
        if variable is not None:
            _set(variable, value, place, found)
        elif strict:
            advice = nearest(key, declared) or "declare it in the job file, or drop it"
            found.append(error(f'no variable "{key}" is declared', key_range, suggestion=advice))


def _validate(
    variable: _Variable, values: dict[str, Any], folder: str | None, found: list[Diagnostic]
) -> None:
    if values.get(variable.name) is POISON:
        return
    scope = Scope({"var": values}, folder)
    for block in variable.validations:
        given = {each.name: each for each in block.body.attributes}
        try:
            if set(given) != {"condition", "error_message"}:
                raise fail("a validation block has the keys condition and error_message", block.range)
            condition = evaluate(given["condition"].expression, scope)
            try:
                holds = to_bool(condition)
            except ConversionError as failure:
                raise fail(f"as a condition {failure}", given["condition"].expression.range) from None
            if not holds:
                message = to_text(evaluate(given["error_message"].expression, scope))
                place = variable.set_at if variable.is_set and variable.set_at else variable.range
                summary = f'invalid value for the variable "{variable.name}"'
                found.append(error(f"{summary}: {message}", place))
        except DiagnosticError as failure:
            found += failure.diagnostics


def resolve_locals(body: n.RawBody, scope: Scope) -> tuple[dict[str, Any], list[Diagnostic]]:
    """Values of all locals, in whatever order they stand."""
    waiting: dict[str, n.RawAttribute] = {}
    found: list[Diagnostic] = []
    for block in body.blocks:
        if block.type != "locals":
            continue
        for attribute in block.body.attributes:
            if attribute.name in waiting:
                found.append(error(f'the local "{attribute.name}" is set twice', attribute.name_range))
            waiting.setdefault(attribute.name, attribute)
        for inner in block.body.blocks:
            found.append(error("locals holds attributes only", inner.range))
    values: dict[str, Any] = {}
    while waiting:
        failures: list[Diagnostic] = []
        done = []
        for name, attribute in waiting.items():
            try:
                values[name] = evaluate(attribute.expression, scope.child({"local": dict(values)}))
                done.append(name)
            except DiagnosticError as failure:
                failures += failure.diagnostics
        if not done:
            values.update(dict.fromkeys(waiting, POISON))
            return values, found + _circle(waiting, failures)
        for name in done:
            del waiting[name]
    return values, found


def _circle(waiting: dict[str, n.RawAttribute], failures: list[Diagnostic]) -> list[Diagnostic]:
    result = []
    for each in failures:
        circular = any(f'named "{name}" is declared' in each.summary for name in waiting)
        if circular and "local value" in each.summary:
            each = error("these locals refer to each other in a circle", each.range)
        result.append(each)
    return result
