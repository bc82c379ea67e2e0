"""Functions on points in time. They read no clock. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from daemon.jobspec.duration import parse_duration
from daemon.jobspec.hcl.functions.registry import function


def _read(text: str) -> datetime:
    moment: datetime | None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or "T" not in text:
        raise ValueError(f"{text!r} is not a time such as 2006-01-02T15:04:05Z")
    return moment


def _zone(moment: datetime, separator: str) -> str:
    offset = moment.strftime("%z")
    return f"{offset[:3]}{separator}{offset[3:5]}"


def _name(moment: datetime) -> str:
    return "UTC" if moment.utcoffset() == timedelta(0) else _zone(moment, "")


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_FIELDS: dict[str, Callable[[datetime], str]] = {
    "YYYY": lambda t: f"{t.year:04}",
    "YY": lambda t: f"{t.year % 100:02}",
    "MMMM": lambda t: _MONTHS[t.month - 1],
    "MMM": lambda t: _MONTHS[t.month - 1][:3],
    "MM": lambda t: f"{t.month:02}",
    "M": lambda t: str(t.month),
    "DD": lambda t: f"{t.day:02}",
    "D": lambda t: str(t.day),
    "EEEE": lambda t: _DAYS[t.weekday()],
    "EEE": lambda t: _DAYS[t.weekday()][:3],
    "HH": lambda t: f"{t.hour % 12 or 12:02}",
    "H": lambda t: str(t.hour % 12 or 12),
    "hh": lambda t: f"{t.hour:02}",
    "h": lambda t: str(t.hour),
    "AA": lambda t: "AM" if t.hour < 12 else "PM",
    "aa": lambda t: "am" if t.hour < 12 else "pm",
    "mm": lambda t: f"{t.minute:02}",
    "m": lambda t: str(t.minute),
    "ss": lambda t: f"{t.second:02}",
    "s": lambda t: str(t.second),
    "ZZZZZ": lambda t: _zone(t, ":"),
    "ZZZZ": lambda t: _zone(t, ""),
    "ZZZ": _name,
    "Z": lambda t: "Z" if t.utcoffset() == timedelta(0) else _zone(t, ":"),
}
_TOKEN = re.compile(r"'((?:[^']|'')*)'|(([A-Za-z])\3*)|([^A-Za-z']+)|'")


@function("formatdate", "string", "string")
def formatdate(spec: str, time: str) -> str:
    """A time by HCL's date verbs: YYYY MM DD hh mm ss EEE AA Z and so on; text in single quotes."""
    moment = _read(time)

    def one(found: re.Match[str]) -> str:
        if found.group(1) is not None:
            return found.group(1).replace("''", "'")
        if found.group(4) is not None:
            return found.group(4)
        field = _FIELDS.get(found.group(2) or "")
        if field is None:
            raise ValueError(f"unknown date verb {found.group()!r}")
        return field(moment)

    return _TOKEN.sub(one, spec)


@function("timeadd", "string", "string")
def timeadd(time: str, duration: str) -> str:
    """A time later by a duration (earlier by a negative one)."""
    moment = _read(time) + timedelta(microseconds=parse_duration(duration) // 1000)
    text = moment.isoformat(timespec="seconds")
    return text.replace("+00:00", "Z") if moment.utcoffset() == UTC.utcoffset(None) else text
