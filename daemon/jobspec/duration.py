"""Go's durations: `90s`, `1h30m`, `1.5h`, to and from nanoseconds. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
#: what an int64 of nanoseconds holds: about 292 years.
MAX_NS = 2**63 - 1


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration text.

    Raises: ValueError with advice.
    """
    rest = text.strip()
    sign = -1 if rest.startswith("-") else 1
    rest = rest[1:] if rest.startswith(("+", "-")) else rest
    if rest == "0":
        return 0
    total, at = Decimal(0), 0
    while at < len(rest):
        found = _PART.match(rest, at)
        if found is None:
            break
        total += Decimal(found.group(1)) * _UNITS[found.group(2)]
        at = found.end()
    if not rest or at < len(rest):
        unit = ": a unit is missing" if re.fullmatch(r"\d+(\.\d+)?", rest) else ""
        raise ValueError(f'{text!r} is not a duration{unit}; write for example "30s", "5m" or "1h30m"')
    if total > MAX_NS:
        raise ValueError(f"{text!r} is too long a duration")
    return sign * int(total)


def format_duration(ns: int) -> str:
    """As Go prints it: `1h30m0s`, `1.5s`, `15ms`, `0s`."""
    if ns < 0:
        return "-" + format_duration(-ns)
    if ns == 0:
        return "0s"
    if ns < 1_000_000_000:
        unit, size = ("ns", 1) if ns < 1_000 else ("µs", 1_000) if ns < 1_000_000 else ("ms", 1_000_000)
        return f"{_number(ns, size)}{unit}"
    hours, rest = divmod(ns, _UNITS["h"])
    minutes, rest = divmod(rest, _UNITS["m"])
    text = f"{_number(rest, _UNITS['s'])}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def _number(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    if not rest:
        return str(whole)
    return f"{whole}." + str(rest).rjust(len(str(size)) - 1, "0").rstrip("0")
