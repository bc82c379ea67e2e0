"""`format` and `formatlist`: Go's verbs. Pure.

Source: HCL's manual of the format function.
"""

from __future__ import annotations

import json
import re
from typing import Any

from daemon.jobspec.hcl.convert import ConversionError, to_bool, to_int, to_number, to_text
from daemon.jobspec.hcl.functions.registry import function

_VERB = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d+)?(?:\.(?P<precision>\d+))?(?:\[(?P<arg>\d+)\])?(?P<verb>.)", re.DOTALL
)
_WIDTH_MAX = 1000


@function("format", "string", rest="any")
def format_(spec: str, *values: Any) -> str:
    """Text by verbs: %s %q %d %v %t %f %e %g %x %X %o %b %%, with width, precision and `%[n]s`."""
    used = 0
    highest = 0

    def one(found: re.Match[str]) -> str:
        nonlocal used, highest
        verb = found["verb"]
        if verb == "%":
            return "%"
        if found["arg"]:
            used = int(found["arg"]) - 1
        if not 0 <= used < len(values):
            raise ValueError(f"there is no argument for {found.group()}")
        value = values[used]
        used += 1
        highest = max(highest, used)
        return _pad(found, _one(found, value))

    result = _VERB.sub(one, spec)
    if highest < len(values):
        raise ValueError(f"{len(values)} arguments are given, {highest} are used")
    return result


def _one(found: re.Match[str], value: Any) -> str:
    verb, precision = found["verb"], found["precision"]
    if precision and int(precision) > _WIDTH_MAX:
        raise ValueError("the precision is too large")
    try:
        if verb == "v":
            text = value if isinstance(value, str) else _json(value)
        elif verb == "s":
            text = to_text(value)
        elif verb == "q":
            return json.dumps(to_text(value), ensure_ascii=False)
        elif verb == "t":
            return to_text(to_bool(value))
        elif verb in "dbox" or verb == "X":
            return _sign(found, format(to_int(value), verb))
        elif verb in "eEfFgG":
            return _sign(found, _float(verb, to_number(value), precision))
        else:
            raise ValueError(f"unknown verb %{verb}")
    except ConversionError as failure:
        raise ValueError(f"{found.group()}: {failure}") from None
    return text[: int(precision)] if precision else text


def _float(verb: str, value: int | float, precision: str | None) -> str:
    if verb in "gG" and precision is None:
        return to_text(value)
    return format(value, f".{precision or 6}{verb}")


def _json(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return to_text(value)
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _sign(found: re.Match[str], text: str) -> str:
    if "+" in found["flags"] and not text.startswith("-"):
        return "+" + text
    if " " in found["flags"] and not text.startswith("-"):
        return " " + text
    return text


def _pad(found: re.Match[str], text: str) -> str:
    width = int(found["width"] or 0)
    if width > _WIDTH_MAX:
        raise ValueError("the width is too large")
    if "-" in found["flags"]:
        return text.ljust(width)
    if "0" in found["flags"] and found["verb"] not in "svqt":
        return text.zfill(width)
    return text.rjust(width)


@function("formatlist", "string", rest="any")
def formatlist(spec: str, *values: Any) -> list[str]:
    """`format` for each element of the lists among the arguments."""
    lengths = {len(each) for each in values if isinstance(each, list)}
    if len(lengths) > 1:
        raise ValueError("the lists have different lengths")
    count = lengths.pop() if lengths else 1
    return [
        format_(spec, *(each[at] if isinstance(each, list) else each for each in values))
        for at in range(count)
    ]
