"""A value converted to the kind that its key has. Pure.

Theory: HCL converts between text, numbers and booleans; durations are Go's texts, or whole nanoseconds. A
small whole number as a duration is nearly always a forgotten unit, so it is refused (not in the HTTP API's
JSON, where nanoseconds are the rule).
"""

from __future__ import annotations

import re
from typing import Any

from daemon.jobspec.body import Value, kind_of
from daemon.jobspec.duration import MAX_NS, parse_duration
from daemon.jobspec.hcl.convert import ConversionError, to_bool, to_int, to_number, to_text

_SIZE = re.compile(r"(\d+)\s*(B|KB|K|KIB|MB|M|MIB|GB|G|GIB)?", re.IGNORECASE)
_FACTORS = {"": 1, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
#: what a column of the fleet and the wire hold for certain.
_INT_MAX = 2**53


def convert(kind: str, value: Value, *, api: bool = False) -> Any:
    """The Python value.

    Raises: ConversionError (a ValueError) with what is wrong.
    """
    data = value.data
    if data is None:
        raise ConversionError("null is not a value here; leave the key out")
    if kind == "string":
        return to_text(data)
    if kind == "int":
        number = to_int(data)
        if abs(number) > _INT_MAX:
            raise ConversionError(f"{number} is out of range")
        return number
    if kind == "number":
        return float(to_number(data))
    if kind == "bool":
        return to_bool(data)
    if kind == "duration":
        return _duration(data, api)
    if kind == "strings":
        return _strings(value)
    if kind == "map":
        return string_map(value)
    assert kind == "size"
    return _size(data)


def _duration(data: Any, api: bool) -> int:
    if isinstance(data, str):
        return parse_duration(data)
    try:
        number = to_int(data)
    except ConversionError:
        raise ConversionError(f'a duration such as "30s" is needed, not {kind_of(data)}') from None
    if not api and 0 < abs(number) < 1_000_000:
        raise ConversionError(f'{number} would mean {number} nanoseconds; write for example "{number}s"')
    if abs(number) > MAX_NS:
        raise ConversionError(f"{number} is too long a duration")
    return number


def _strings(value: Value) -> tuple[str, ...]:
    if not isinstance(value.data, list):
        raise ConversionError(f"a list of texts is needed, not {value.kind}")
    return tuple(to_text(each.data) for each in value.data)


def string_map(value: Value) -> dict[str, str]:
    """An object whose values are texts.

    Raises: ConversionError, naming the key.
    """
    if not isinstance(value.data, dict):
        raise ConversionError(f"an object is needed, not {value.kind}")
    result: dict[str, str] = {}
    for key, each in value.data.items():
        try:
            result[key] = to_text(each.data)
        except ConversionError as failure:
            raise ConversionError(f'"{key}": {failure}') from None
    return result


def _size(data: Any) -> int:
    if not isinstance(data, str):
        return to_int(data)
    found = _SIZE.fullmatch(data.strip())
    if found is None:
        raise ConversionError(f'{data!r} is not a size; write bytes, or for example "512KB", "10MB"')
    return int(found.group(1)) * _FACTORS[(found.group(2) or "")[:1].upper()]
