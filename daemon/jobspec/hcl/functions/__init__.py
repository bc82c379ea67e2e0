"""The functions of job files: the table, and the call itself.

Theory: a function is registered with the types of its parameters; arguments are converted before it runs
and every failure is reported at the argument or the call. `try`, `can` and `convert` see the expressions.
Functions that read files work only where the scope has a folder (never on a server).

Source: the list in spec/nomad-surface.md C1; meanings from HCL's and Nomad's public manuals.
"""

from __future__ import annotations

from typing import Any

from daemon.jobspec.diagnostics import DiagnosticError, nearest
from daemon.jobspec.hcl import nodes as n
from daemon.jobspec.hcl.convert import ConversionError
from daemon.jobspec.hcl.evaluate import Scope, evaluate, fail
from daemon.jobspec.hcl.functions.registry import CONVERT, REGISTRY, Function, load_all

#: known to Nomad, not here, and why.
REFUSED = {"rsadecrypt": "it would need a cryptography library that encamp does not carry"}


def call(node: n.Call, scope: Scope) -> Any:
    """Evaluate a call.

    Raises: DiagnosticError.
    """
    if node.name == "try":
        return _try(node, scope)
    if node.name == "can":
        return _can(node, scope)
    if node.name == "convert":
        return _convert(node, scope)
    if node.name not in REGISTRY:
        load_all()
    function = REGISTRY.get(node.name)
    if function is None:
        if node.name in REFUSED:
            raise fail(f"the function {node.name} is not supported: {REFUSED[node.name]}", node.name_range)
        known = [*REGISTRY, "try", "can", "convert"]
        raise fail(f'there is no function "{node.name}"', node.name_range, nearest(node.name, known))
    if function.reads_files and scope.folder is None:
        raise fail(f"the function {node.name} reads files, which is not allowed here", node.name_range)
    values = _arguments(node, scope)
    _check_count(node, function, len(values))
    converted = [_argument(node, function, at, value) for at, value in enumerate(values)]
    extra: dict[str, Any] = {"folder": scope.folder} if function.reads_files else {}
    try:
        return function.run(*converted, **extra)
    except (ValueError, OverflowError, OSError, ArithmeticError, RecursionError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        raise fail(f"{node.name}: {reason}", node.range) from None


def _arguments(node: n.Call, scope: Scope) -> list[Any]:
    values = [evaluate(each, scope) for each in node.arguments]
    if node.expand:
        last = values.pop()
        if not isinstance(last, list | tuple):
            raise fail("only a list can be expanded with ...", node.arguments[-1].range)
        values += last
    return values


def _check_count(node: n.Call, function: Function, given: int) -> None:
    least, most = function.least, None if function.rest else len(function.params)
    if given >= least and (most is None or given <= most):
        return
    wanted = str(least) if most == least else f"at least {least}" if most is None else f"{least} to {most}"
    plural = "" if wanted.endswith(" 1") or wanted == "1" else "s"
    raise fail(f"{node.name} takes {wanted} argument{plural}, not {given}", node.range)


def _argument(node: n.Call, function: Function, at: int, value: Any) -> Any:
    kind = function.params[at] if at < len(function.params) else function.rest
    assert kind is not None
    try:
        if value is None and kind != "any":
            raise ConversionError("null is not allowed")
        return CONVERT[kind](value)
    except ConversionError as failure:
        direct = at < len(node.arguments) - (1 if node.expand else 0)
        place = node.arguments[at].range if direct else node.range
        raise fail(f"{node.name}, argument {at + 1}: {failure}", place) from None


def _try(node: n.Call, scope: Scope) -> Any:
    if not node.arguments:
        raise fail("try takes at least 1 argument, not 0", node.range)
    for each in node.arguments[:-1]:
        try:
            return evaluate(each, scope)
        except DiagnosticError:
            continue
    return evaluate(node.arguments[-1], scope)


def _can(node: n.Call, scope: Scope) -> bool:
    if len(node.arguments) != 1:
        raise fail(f"can takes 1 argument, not {len(node.arguments)}", node.range)
    try:
        evaluate(node.arguments[0], scope)
    except DiagnosticError:
        return False
    return True


def _convert(node: n.Call, scope: Scope) -> Any:
    from daemon.jobspec.hcl.types import read_type

    if len(node.arguments) != 2:
        raise fail(f"convert takes 2 arguments, not {len(node.arguments)}", node.range)
    value = evaluate(node.arguments[0], scope)
    try:
        return read_type(node.arguments[1]).convert(value)
    except ConversionError as failure:
        raise fail(f"convert: {failure}", node.arguments[0].range) from None
