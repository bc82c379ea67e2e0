"""Which allocations of one node have to go so that one more fits: the choice of victims. Pure.

Theory: the less important go first; among equals the one whose size is closest to what is still needed, so that few
go and little is freed in vain. Allocations of a group that lost as many as its migrate block lets move at once are
taken last of their priority. In the end whatever proves needless is let go on.

Source: spec/scheduler.md 5.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from daemon.model.plan import Neighbour
from daemon.state.deltas import amounts

_PENALTY = 50.0
_CENTRE, _RATE = 2048.0, 0.0048

Amounts = tuple[int, int, int, int]
#: (namespace, job, group) -> how many of it this plan has preempted.
Gone = Mapping[tuple[str, str, str], int]


def preemption_score(victims: Sequence[Neighbour]) -> float:
    """The part of a node's score when these must go: near 1 for few and unimportant ones."""
    most = max(victim.priority for victim in victims)
    weight = most + sum(victim.priority for victim in victims) / most
    return 1.0 / (1.0 + math.exp(_RATE * (weight - _CENTRE)))


def distance(need: Sequence[int], victim: Neighbour) -> float:
    """How far the victim's size is from what is needed, over cpu, memory and disk, where any is needed."""
    held = amounts(victim.usage)
    return math.sqrt(sum(((need[i] - held[i]) / need[i]) ** 2 for i in range(3) if need[i] > 0))


def fits(free: Sequence[int], ask: Sequence[int], victims: Sequence[Neighbour] = ()) -> bool:
    """True when there is room once the victims are gone."""
    held = [amounts(victim.usage) for victim in victims]
    return all(free[i] + sum(one[i] for one in held) >= ask[i] for i in range(len(ask)))


def choose_victims(
    ask: Amounts,
    free: Sequence[int],
    ports: Sequence[int],
    neighbours: Sequence[Neighbour],
    gone: Gone,
    holders: Sequence[Neighbour] = (),
) -> list[Neighbour] | None:
    """Who has to go; None when even all of them would not do.

    `ports`: taken ones that must become free. `holders`: those that go in any case, for what they hold by the piece.
    """
    chosen: list[Neighbour] = list(holders)
    for port in ports:
        if any(port in victim.ports for victim in chosen):
            continue
        holder = next((one for one in neighbours if port in one.ports), None)
        if holder is None:
            return None
        chosen.append(holder)
    fixed = len(chosen)
    need = [amount - sum(amounts(one.usage)[i] for one in chosen) for i, amount in enumerate(ask)]
    taken = {one.alloc_id for one in chosen}
    lost = dict(gone)
    for priority in sorted({one.priority for one in neighbours}):
        pool = [one for one in neighbours if one.priority == priority and one.alloc_id not in taken]
        while pool and not fits(free, ask, chosen):
            best = min(pool, key=lambda one: (distance(need, one) + _reluctance(one, lost), one.alloc_id))
            pool.remove(best)
            chosen.append(best)
            lost[best.group_key] = lost.get(best.group_key, 0) + 1
            need = [left - used for left, used in zip(need, amounts(best.usage), strict=True)]
    if not fits(free, ask, chosen):
        return None
    return _trimmed(ask, free, chosen[:fixed], chosen[fixed:])


def _reluctance(victim: Neighbour, lost: Gone) -> float:
    """Penalty of a group that has lost as many as may move at once."""
    limit, count = victim.max_parallel, lost.get(victim.group_key, 0)
    return _PENALTY * (count + 1 - limit) if limit > 0 and count >= limit else 0.0


def _trimmed(
    ask: Amounts, free: Sequence[int], fixed: list[Neighbour], rest: list[Neighbour]
) -> list[Neighbour]:
    """Without what is not needed: the shortest prefix, largest distance first, and of that the least important."""
    rest = sorted(rest, key=lambda one: (-distance(ask, one), one.alloc_id))
    while rest and fits(free, ask, [*fixed, *rest[:-1]]):
        rest.pop()
    for victim in sorted(rest, key=lambda one: (-one.priority, one.alloc_id)):
        others = [one for one in rest if one is not victim]
        if fits(free, ask, [*fixed, *others]):
            rest = others
    return [*fixed, *rest]
