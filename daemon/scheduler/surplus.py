"""Which allocations end because there are more than the job asks for. Pure.

Theory: first the old ones whose names promoted canaries have taken, all of them. Of what is then too much: failed ones
that would be replaced, then those on the move, then numbers beyond the count, second holders of a number, and the
highest numbers.

Source: spec/scheduler.md 6.2 (6).
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus
from daemon.scheduler.rollout import GroupRollout

#: done, or out of sight: stopping these helps nobody.
_KEPT = (ClientStatus.COMPLETE, ClientStatus.UNKNOWN)


def taken_over(allocs: list[Allocation], rollout: GroupRollout, newest_spec: int) -> list[Allocation]:
    """Take out of `allocs` the old ones whose names promoted canaries bear, and return them."""
    names = {alloc.name for alloc in allocs if rollout.promoted_canary(alloc) and not alloc.terminal}
    gone = [
        alloc
        for alloc in allocs
        if alloc.name in names and alloc.job_spec_index != newest_spec and not alloc.server_terminal
    ]
    _remove(allocs, gone)
    return gone


def take_surplus(pools: Iterable[list[Allocation]], surplus: int, count: int) -> list[Allocation]:
    """Take up to `surplus` allocations out of the pools, in their order; the last is that of the untainted."""
    pools = list(pools)
    taken: list[Allocation] = []
    for pool in pools:
        if len(taken) >= surplus:
            break
        stoppable = [
            alloc for alloc in pool if not alloc.server_terminal and alloc.client_status not in _KEPT
        ]
        stoppable.sort(key=lambda alloc: (-alloc.index, alloc.create_index, alloc.id))
        if pool is pools[-1]:
            stoppable = _duplicates_first(stoppable, count)
        chosen = stoppable[: surplus - len(taken)]
        _remove(pool, chosen)
        taken.extend(chosen)
    return taken


def _remove(pool: list[Allocation], gone: list[Allocation]) -> None:
    ids = {alloc.id for alloc in gone}
    if ids:
        pool[:] = [alloc for alloc in pool if alloc.id not in ids]


def _duplicates_first(allocs: list[Allocation], count: int) -> list[Allocation]:
    """Numbers beyond the count first, then second holders of a number, then the highest numbers."""
    seen: set[int] = set()
    second: set[str] = set()
    for alloc in sorted(allocs, key=lambda alloc: (alloc.index, alloc.create_index, alloc.id)):
        if alloc.index in seen:
            second.add(alloc.id)
        seen.add(alloc.index)
    return sorted(
        allocs,
        key=lambda alloc: (
            alloc.index < count,
            alloc.id not in second,
            -alloc.index,
            -alloc.create_index,
            alloc.id,
        ),
    )
