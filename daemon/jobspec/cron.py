"""Cron specs: five fields, or six with leading seconds, in a time zone; the next moment after a given one.

Theory: Debian's rules at clock changes: for specs of fixed hours and minutes, a time that does not exist fires at the
first instant after the gap, and one that occurs twice fires once; specs with a `*` in hour or minute run on in real
time. All moments are UTC nanoseconds outside. The time zones are those of the machine's database.

Not here: when a job was launched, and what becomes of missed launches (daemon.server.periodic).

Source: spec/scheduler.md 8, with the deviation at its top.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from daemon.model.base import NS_PER_S
from daemon.model.policies import PeriodicConfig

#: short forms that cron has always had.
SHORT = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def spec_problem(spec: str) -> str:
    """What is wrong with a spec; "" when it is good and fires at some time."""
    fields = SHORT.get(spec.strip().lower(), spec).split()
    if len(fields) not in (5, 6):
        return f"a cron spec has five fields, or six with leading seconds, not {len(fields)}: {spec!r}"
    try:
        if _next(spec, datetime(2000, 1, 1, tzinfo=UTC)) is None:
            return f"the cron spec {spec!r} never fires"
    except (CronSimError, OverflowError) as error:
        return f"the cron spec {spec!r} cannot be read: {str(error).lower()}"
    return ""


def zone_problem(name: str) -> str:
    """What is wrong with a time zone's name; "" when it is known."""
    try:
        _zone(name)
    except (ValueError, OSError, KeyError):
        return f"there is no time zone {name!r}; use a name like Europe/Berlin or UTC"
    return ""


def next_launch_ns(periodic: PeriodicConfig, after_ns: int) -> int:
    """The earliest moment of all specs strictly after the given one; 0: there is none.

    Units: UTC nanoseconds.
    """
    after = datetime.fromtimestamp(after_ns // NS_PER_S, UTC).astimezone(_zone(periodic.time_zone))
    found = [moment for spec in periodic.specs if (moment := _next(spec, after)) is not None]
    return min((int(each.timestamp()) * NS_PER_S for each in found), default=0)


def _zone(name: str) -> tzinfo:
    return UTC if name in ("", "UTC") else ZoneInfo(name)


def _next(spec: str, after: datetime) -> datetime | None:
    """The next moment of one spec. Six fields with one fixed second are five fields, a little later."""
    text = SHORT.get(spec.strip().lower(), spec)
    fields = text.split()
    shift = timedelta(0)
    if len(fields) == 6 and fields[0].isdigit() and not (fields[1][:1] == "*" or fields[2][:1] == "*"):
        CronSim(text, after)
        shift = timedelta(seconds=int(fields[0]))
        text = " ".join(fields[1:])
        after = (after.astimezone(UTC) - shift).astimezone(after.tzinfo)
    found = next(CronSim(text, after), None)
    return None if found is None else (found.astimezone(UTC) + shift).astimezone(after.tzinfo)
