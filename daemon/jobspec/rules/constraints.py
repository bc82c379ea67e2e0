"""Rules of constraints. Pure.

Source: spec/nomad-surface.md C4, C5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from daemon.jobspec.diagnostics import nearest
from daemon.jobspec.rules.problem import Report
from daemon.model.policies import Constraint

COMPARISONS = ("=", "==", "is", "!=", "not", "<", "<=", ">", ">=")
OPERATORS = (
    *COMPARISONS,
    "version",
    "semver",
    "regexp",
    "set_contains",
    "set_contains_all",
    "set_contains_any",
    "is_set",
    "is_not_set",
    "distinct_hosts",
    "distinct_property",
)
_NEEDS_VALUE = ("version", "semver", "regexp", "set_contains", "set_contains_all", "set_contains_any")
_VERSION = re.compile(r"\s*(=|==|!=|>|>=|<|<=|~>)?\s*v?\d+(\.\d+)*([-+.][0-9A-Za-z.+-]*)?\s*")
_SEMVER = re.compile(r"\s*(=|==|!=|>|>=|<|<=)?\s*v?\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?\s*")


def check_constraints(constraints: Sequence[Constraint], report: Report, *, in_task: bool) -> None:
    """Every constraint of a job, group or task."""
    for at, constraint in enumerate(constraints):
        _check(constraint, report.below(f"constraint[{at}]"), in_task)


def _check(each: Constraint, report: Report, in_task: bool) -> None:
    operand, left, right = each.operand, each.l_target, each.r_target
    if operand.startswith("distinct_") and operand in OPERATORS:
        _check_distinct(each, report, in_task)
        return
    check_comparison("constraint", left, operand, right, OPERATORS, report)


def check_comparison(
    what: str, left: str, operand: str, right: str, operators: Sequence[str], report: Report
) -> None:
    """What constraints and affinities share."""
    if operand not in operators:
        advice = nearest(operand, operators) or f"operators: {' '.join(operators)}"
        report.error("operator", f'there is no operator "{operand}"', advice)
        return
    article = "an" if what[0] == "a" else "a"
    report.need(
        bool(left),
        "attribute",
        f"{article} {what} needs an attribute",
        'e.g. attribute = "${attr.kernel.name}"',
    )
    if left and "${" not in left and (left.startswith("$") or "." in left):
        report.warn(
            "attribute", f'"{left}" is plain text, the same on every node', f"write ${{{left.lstrip('$')}}}"
        )
    if operand in ("is_set", "is_not_set"):
        report.need(not right, "value", f"{operand} takes no value")
    elif operand in _NEEDS_VALUE:
        key = "value" if right == "" else operand
        report.need(bool(right), key, f"{operand} needs a value")
    if right and "${" not in right:
        _check_value(operand, right, report)


def _check_value(operand: str, right: str, report: Report) -> None:
    if operand == "regexp":
        reason = _pattern_fault(right)
        report.need(not reason, "value", f"the pattern is not valid: {reason}")
    elif operand in ("version", "semver"):
        form = _VERSION if operand == "version" else _SEMVER
        bad = [part for part in right.split(",") if not form.fullmatch(part)]
        advice = 'write for example ">= 1.2, < 2.0"'
        report.need(not bad, "value", f'"{bad[0].strip() if bad else ""}" is not a version rule', advice)


def _pattern_fault(pattern: str) -> str:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as failure:
        reason = failure.args[0] if failure.args else failure
        return reason.decode() if isinstance(reason, bytes) else str(reason)
    return ""


def _check_distinct(each: Constraint, report: Report, in_task: bool) -> None:
    operand, left, right = each.operand, each.l_target, each.r_target
    if in_task:
        report.error("", f"{operand} cannot stand in a task", "move the constraint to the group or the job")
    if operand == "distinct_hosts":
        report.need(right in ("", "true", "false"), "value", "distinct_hosts is true or false")
        return
    report.need(bool(left), "attribute", "distinct_property needs an attribute")
    if right:
        whole = right.isascii() and right.isdigit() and int(right) >= 1
        report.need(whole, "value", f'distinct_property takes a count of at least 1, not "{right}"')
