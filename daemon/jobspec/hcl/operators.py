"""Arithmetic, comparison and logic on plain values. Pure."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

from daemon.jobspec.hcl.convert import ConversionError, context, exact, tidy, to_bool, to_number

_ARITHMETIC: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": lambda left, right: context().add(left, right),
    "-": lambda left, right: context().subtract(left, right),
    "*": lambda left, right: context().multiply(left, right),
    "/": lambda left, right: context().divide(left, right),
    "%": lambda left, right: context().remainder(left, right),
}
_ORDER: dict[str, Callable[[int | float, int | float], bool]] = {
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


def unary(operator: str, value: Any) -> Any:
    """`-value`, `!value`.

    Raises: ConversionError.
    """
    if operator == "!":
        return not to_bool(value)
    return tidy(-exact(to_number(value)))


def binary(operator: str, left: Any, right: Any) -> Any:
    """`left operator right` for numbers.

    Raises: ConversionError, also for a division by zero.
    """
    first, second = to_number(left), to_number(right)
    if operator in _ORDER:
        return _ORDER[operator](first, second)
    if operator in "/%" and second == 0:
        raise ConversionError("division by zero")
    try:
        return tidy(_ARITHMETIC[operator](exact(first), exact(second)))
    except DecimalException:
        raise ConversionError("the result cannot be represented") from None
