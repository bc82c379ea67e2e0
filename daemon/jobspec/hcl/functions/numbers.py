"""Functions on numbers. Pure."""

from __future__ import annotations

import math
from typing import Any

from daemon.jobspec.hcl.convert import context, exact, tidy
from daemon.jobspec.hcl.functions.registry import function

Number = int | float
#: as in HCL: a longer range is a mistake.
_RANGE_MAX = 1024


@function("abs", "number")
def abs_(value: Number) -> Number:
    """Without its sign."""
    return abs(value)


@function("ceil", "number")
def ceil(value: Number) -> int:
    """Next whole number above."""
    return math.ceil(value)


@function("floor", "number")
def floor(value: Number) -> int:
    """Next whole number below."""
    return math.floor(value)


@function("log", "number", "number")
def log(value: Number, base: Number) -> Number:
    """Logarithm of a base."""
    return tidy(float(math.log(value) / math.log(base)))


@function("pow", "number", "number")
def pow_(value: Number, exponent: Number) -> Number:
    """Power."""
    return tidy(context().power(exact(value), exact(exponent)))


@function("signum", "number")
def signum(value: Number) -> int:
    """-1, 0 or 1."""
    return (value > 0) - (value < 0)


@function("max", rest="number", least=1)
def max_(*values: Number) -> Number:
    """The greatest."""
    return max(values)


@function("min", rest="number", least=1)
def min_(*values: Number) -> Number:
    """The smallest."""
    return min(values)


@function("parseint", "any", "int")
def parseint(value: Any, base: int) -> int:
    """A whole number written in a base from 2 to 36."""
    if not 2 <= base <= 36:
        raise ValueError("the base must lie from 2 to 36")
    text = str(value)
    if len(text) > 300 or "_" in text or text != text.strip():
        raise ValueError(f"{text[:40]!r} is not a whole number of base {base}")
    try:
        return int(text, base)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number of base {base}") from None


@function("range", "number", rest="number")
def range_(first: Number, *more: Number) -> list[Number]:
    """`range(end)`, `range(start, end)`, `range(start, end, step)`."""
    if len(more) > 2:
        raise ValueError("at most three arguments")
    start, end = (first, more[0]) if more else (0, first)
    step = more[1] if len(more) == 2 else (1 if end >= start else -1)
    if step == 0 or (step > 0) != (end >= start):
        raise ValueError("the step does not lead from start to end")
    result: list[Number] = []
    at = exact(start)
    while (at < end) if step > 0 else (at > end):
        if len(result) >= _RANGE_MAX:
            raise ValueError(f"more than {_RANGE_MAX} elements")
        result.append(tidy(at))
        at += exact(step)
    return result
