"""Cron specs: the next moment, time zones, and Debian's rules at clock changes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from daemon.jobspec.cron import next_launch_ns, spec_problem, zone_problem
from daemon.model.base import NS_PER_S
from daemon.model.policies import PeriodicConfig


def launches(spec: str, zone: str, after: str, count: int) -> list[str]:
    """The next `count` moments, in UTC."""
    config = PeriodicConfig(specs=tuple(spec.split(";")), time_zone=zone)
    moment = int(datetime.fromisoformat(after).replace(tzinfo=UTC).timestamp()) * NS_PER_S
    found = []
    for _ in range(count):
        moment = next_launch_ns(config, moment)
        found.append(datetime.fromtimestamp(moment / NS_PER_S, UTC).strftime("%m-%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("spec", "zone", "after", "expected"),
    [
        ("30 2 * * *", "UTC", "2026-01-01T02:30:00", ["01-02 02:30:00", "01-03 02:30:00"]),
        ("@hourly", "UTC", "2026-01-01T00:00:01", ["01-01 01:00:00"]),
        ("*/20 * * * * *", "UTC", "2026-01-01T00:00:00", ["01-01 00:00:20", "01-01 00:00:40", "01-01 00:01:00"]),
        ("15 30 9 * * MON-FRI", "America/New_York", "2026-01-02T18:00:00", ["01-05 14:30:15"]),
        ("0 6 * * *;0 9 * * *", "UTC", "2026-01-01T07:00:00", ["01-01 09:00:00", "01-02 06:00:00"]),
        # the hour from 2 to 3 does not exist on that day: the first instant after it, and once
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00", ["03-29 01:00:00", "03-30 00:30:00"]),
        ("10 30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00", ["03-29 01:00:10", "03-30 00:30:10"]),
        # the hour from 2 to 3 comes twice on that day: once
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00", ["10-25 00:30:00", "10-26 01:30:00"]),
        ("10 30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00", ["10-25 00:30:10", "10-26 01:30:10"]),
        # every half hour goes on in real time
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00",
         ["10-25 00:30:00", "10-25 01:00:00", "10-25 01:30:00"]),
    ],
)  # fmt: skip
def test_next_launches(spec: str, zone: str, after: str, expected: list[str]) -> None:
    assert launches(spec, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("* * * *", "five fields"),
        ("* * * * * * *", "five fields"),
        ("60 * * * *", "bad minute"),
        ("0 0 31 4 *", "bad day-of-month"),
        ("@often", "five fields"),
        ("0 0 29 2 *", ""),
        ("@daily", ""),
    ],
)
def test_specs_are_judged(spec: str, words: str) -> None:
    assert words in spec_problem(spec)
    assert bool(spec_problem(spec)) == bool(words)


def test_time_zones_are_judged() -> None:
    assert not zone_problem("Asia/Kathmandu")
    for bad in ("Mars/Olympus", "../../etc/passwd", "UTC+1 "):
        assert "no time zone" in zone_problem(bad)
