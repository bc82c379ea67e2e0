"""HCL's conversions between values, and equality. Plain Python values: None, bool, int, float, str, list, dict.

Pure. Source: HCL's syntax specification (type conversions), as Nomad's users meet them: `count = "3"` works.
"""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation
from typing import Any

from daemon.jobspec.body import kind_of

#: digits of arithmetic; results are given back as int, or float where they are not whole.
_CONTEXT = Context(prec=120)


class ConversionError(ValueError):
    """A value has the wrong type. The text says what it is and what was needed."""


def is_number(value: Any) -> bool:
    """A number, and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def tidy(value: Decimal | float | int) -> int | float:
    """A whole number as int, others as float."""
    if isinstance(value, int):
        return value
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ConversionError("the result is not a finite number")
        if value == value.to_integral_value(context=_CONTEXT) and value.adjusted() < 100:
            return int(value)
        result = float(value)
        if result in (float("inf"), float("-inf")):
            raise ConversionError("the result is too large")
        return result
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def exact(value: int | float) -> Decimal:
    """A number for arithmetic in decimal, so that 0.1 + 0.2 is 0.3."""
    return _CONTEXT.create_decimal(repr(value))


def context() -> Context:
    """The arithmetic's context."""
    return _CONTEXT


def to_text(value: Any) -> str:
    """As a string.

    Raises: ConversionError for null, lists and objects.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        return format(Decimal(repr(value)), "f")
    raise ConversionError(f"a string is needed, not {kind_of(value)}")


def to_number(value: Any) -> int | float:
    """As a number; text is read.

    Raises: ConversionError.
    """
    if is_number(value):
        return tidy(value)
    if isinstance(value, str):
        try:
            return tidy(_CONTEXT.create_decimal(value.strip()))
        except (InvalidOperation, ConversionError):
            raise ConversionError(f"a number is needed, not the text {value!r}") from None
    raise ConversionError(f"a number is needed, not {kind_of(value)}")


def to_int(value: Any) -> int:
    """As a whole number.

    Raises: ConversionError.
    """
    number = to_number(value)
    if isinstance(number, float):
        raise ConversionError(f"a whole number is needed, not {to_text(number)}")
    return number


def to_bool(value: Any) -> bool:
    """As a boolean; the texts "true" and "false" (and "1", "0") are read.

    Raises: ConversionError.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "false", "1", "0"):
        return value in ("true", "1")
    shown = f"the text {value!r}" if isinstance(value, str) else kind_of(value)
    raise ConversionError(f"true or false is needed, not {shown}")


def to_list(value: Any) -> list[Any]:
    """As a list.

    Raises: ConversionError.
    """
    if isinstance(value, list | tuple):
        return list(value)
    raise ConversionError(f"a list is needed, not {kind_of(value)}")


def to_map(value: Any) -> dict[str, Any]:
    """As an object.

    Raises: ConversionError.
    """
    if isinstance(value, dict):
        return value
    raise ConversionError(f"an object is needed, not {kind_of(value)}")


def equal(left: Any, right: Any) -> bool:
    """HCL's `==`: values of different types differ."""
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left == right
    if is_number(left) and is_number(right):
        return bool(left == right)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(left == right)


def distinct(values: list[Any]) -> list[Any]:
    """Values without repeats, in order."""
    result: list[Any] = []
    seen: set[Any] = set()
    for value in values:
        if isinstance(value, str | int | float | bool | None):
            mark = (type(value) is bool, value if not isinstance(value, str) else ("s", value))
            if mark in seen:
                continue
            seen.add(mark)
            result.append(value)
        elif not any(equal(value, held) for held in result):
            result.append(value)
    return result
