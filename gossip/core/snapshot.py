"""Snapshot lines: what a member remembers over a restart, to find its cluster again. Pure.

Theory: text lines, appended: `alive: NAME HOST PORT`, `not-alive: NAME`, `clock: N`, `event-clock: N`,
`query-clock: N`, `leave`. The last line about a thing counts. A torn or unknown line is skipped. After `leave`
nothing is rejoined.
Not here: files (shell/snapshots.py).
Source: serf's snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gossip.model import Address, valid_name

_CLOCKS = {"clock": "member_time", "event-clock": "event_time", "query-clock": "query_time"}


@dataclass(slots=True)
class Snapshot:
    """What the lines say."""

    members: dict[str, Address] = field(default_factory=dict)
    member_time: int = 0
    event_time: int = 0
    query_time: int = 0
    left: bool = False
    skipped: int = 0
    """Lines that made no sense."""


def parse_snapshot(lines: Iterable[str], *, after_leave: bool = False) -> Snapshot:
    """Replay lines; `after_leave` keeps the members known before a leave."""
    snapshot = Snapshot()
    for line in lines:
        if line.strip() == "leave" and after_leave:
            snapshot.left = True
        elif not _replay(snapshot, line.strip()):
            snapshot.skipped += 1
    return snapshot


def _replay(snapshot: Snapshot, line: str) -> bool:
    kind, _, rest = line.partition(":")
    words = rest.split()
    if kind == "leave" and not words:
        snapshot.left = True
        snapshot.members.clear()
        return True
    if (
        kind == "alive"
        and len(words) == 3
        and valid_name(words[0])
        and words[2].isascii()
        and words[2].isdigit()
    ):
        snapshot.left = False
        snapshot.members[words[0]] = (words[1], int(words[2]))
        return True
    if kind == "not-alive" and len(words) == 1:
        snapshot.members.pop(words[0], None)
        return True
    if kind in _CLOCKS and len(words) == 1 and words[0].isascii() and words[0].isdigit():
        setattr(snapshot, _CLOCKS[kind], max(getattr(snapshot, _CLOCKS[kind]), int(words[0])))
        return True
    return False


def clock_lines(member_time: int, event_time: int, query_time: int) -> list[str]:
    """The three clocks."""
    return [f"clock: {member_time}", f"event-clock: {event_time}", f"query-clock: {query_time}"]


def alive_line(name: str, address: Address) -> str:
    """One living member."""
    return f"alive: {name} {address[0]} {address[1]}"
