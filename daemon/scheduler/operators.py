"""Operators of constraints: does a left value satisfy operator and right value? None is absent. Pure.

Source: spec/scheduler.md 4.3.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from daemon.scheduler.versions import satisfies

_ALIASES = {
    "==": "=",
    "is": "=",
    "": "=",
    "not": "!=",
    "set_contains_all": "set_contains",
}
DISTINCT = ("distinct_hosts", "distinct_property")


def canonical(operand: str) -> str:
    """The operator that an alias stands for."""
    return _ALIASES.get(operand, operand)


def holds(operand: str, left: str | None, right: str | None) -> bool:
    """True when the condition holds. An operator that nobody knows never does."""
    operand = canonical(operand)
    if operand == "is_set":
        return left is not None
    if operand == "is_not_set":
        return left is None
    if operand == "!=":
        return left != right
    if left is None or right is None:
        return False
    if operand == "=":
        return left == right
    if operand in ("<", "<=", ">", ">="):
        return _ordered(operand, left, right)
    if operand in ("version", "semver"):
        return satisfies(left, right, operand == "semver")
    if operand == "regexp":
        pattern = _pattern(right)
        return pattern is not None and pattern.search(left) is not None
    if operand in ("set_contains", "set_contains_any"):
        has, needs = _items(left), _items(right)
        return needs <= has if operand == "set_contains" else not needs.isdisjoint(has)
    return False


@lru_cache(maxsize=1024)
def _items(text: str) -> frozenset[str]:
    return frozenset(item.strip() for item in text.split(","))


def _ordered(operand: str, left: str, right: str) -> bool:
    for read in (_integer, _number):
        first, second = read(left), read(right)
        if first is not None and second is not None:
            return _compare(operand, first, second)
    return _compare(operand, left, right)


def _compare(operand: str, left: Any, right: Any) -> bool:
    if operand == "<":
        return bool(left < right)
    if operand == "<=":
        return bool(left <= right)
    if operand == ">":
        return bool(left > right)
    return bool(left >= right)


def _integer(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def _number(text: str) -> float | None:
    if "_" in text or text != text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _pattern(text: str) -> Any:
    """Compiled RE2 pattern; None when it cannot be compiled (validation refuses such a job)."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error:
        return None
