"""How full machines are, as bars of cpu and memory; several in one bar when they are grouped. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.cli.text import clean, paint
from daemon.simulate.report import NodeUse

_NAME_MAX = 18
_BAR = 16


def occupancy(usage: Sequence[NodeUse], *, color: bool = False, blocks: bool = True) -> list[str]:
    """One line for each place, in the order of the names; nodes that are down hold nothing."""
    places: dict[str, list[NodeUse]] = {}
    for use in usage:
        places.setdefault(use.place or "(none)", []).append(use)
    if not places:
        return ["There are no machines"]
    shown = {place: _cut(clean(place)) for place in places}
    width = max(4, *(len(name) for name in shown.values()))
    alone = all(len(uses) == 1 for uses in places.values())
    lines = []
    for place in sorted(places):
        up = [use for use in places[place] if use.status != "down"]
        name = f"{shown[place]:<{width}}"
        if not up:
            lines.append(f"{name}  {paint('down', 'red', color)}")
            continue
        cpu = _bar("cpu", sum(u.cpu_used for u in up), sum(u.cpu for u in up), color, blocks)
        memory = _bar("mem", sum(u.memory_used_mb for u in up), sum(u.memory_mb for u in up), color, blocks)
        allocs = sum(use.allocations for use in up)
        count = "" if alone else f" on {len(up)}"
        lines.append(f"{name}  {cpu}  {memory}  {allocs}{count}")
    tail = "allocations" if alone else "allocations on nodes"
    return [f"{'':<{width}}  {'cpu':<{_BAR + 9}}  {'memory':<{_BAR + 9}}  {tail}", *lines]


def _bar(label: str, used: int, total: int, color: bool, blocks: bool) -> str:
    share = used / total if total > 0 else 0.0
    filled = min(_BAR, round(share * _BAR))
    # anything at all is seen, and only what is full looks full.
    filled = max(filled, 1) if used > 0 else 0
    filled = min(filled, _BAR - 1) if share < 1 else filled
    full, empty = ("█", "░") if blocks else ("#", ".")
    style = "red" if share >= 0.9 else "yellow" if share >= 0.7 else "green"
    bar = paint(full * filled, style, color) if filled else ""
    return f"{label} {bar}{empty * (_BAR - filled)} {share:>4.0%}"


def _cut(text: str) -> str:
    return text if len(text) <= _NAME_MAX else f"{text[: _NAME_MAX - 1]}~"
