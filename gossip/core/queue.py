"""Broadcasts waiting to ride on packets, each a limited number of times. Pure.

Theory: every message is sent `limit` times, counted per packet, the least sent first, then the larger, then the newer.
A newer message under the same key replaces the older. A bounded queue drops, when full, what was sent most: its
news is the most widely known. Kept sorted, so that filling a packet costs one search per message taken.
Source: memberlist's transmit-limited queue; the bound at the entrance is ours (serf prunes by a sweeper).
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable

from gossip.wire.codec import PART_BYTES


def transmit_limit(mult: int, floor: int, members: int) -> int:
    """How often each member sends one message."""
    return mult * max(floor, math.ceil(math.log10(members + 1)))


class _Item:
    __slots__ = ("data", "done", "key", "sent")

    def __init__(self, key: str, data: bytes, done: Callable[[], None] | None) -> None:
        self.key = key
        self.data = data
        self.sent = 0
        self.done = done


class BroadcastQueue:
    """One queue; invariant: `_order` is sorted and has exactly one place for each item."""

    def __init__(self, depth_max: int | None = None) -> None:
        self._order: list[tuple[int, int, int]] = []
        self._items: dict[int, _Item] = {}
        self._by_key: dict[str, int] = {}
        self._depth_max = depth_max
        self._last_id = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._order)

    def push(self, key: str, data: bytes, done: Callable[[], None] | None = None) -> None:
        """Add a broadcast. `done` is called when it has been sent often enough, or was replaced or dropped."""
        if key:
            self.withdraw(key)
        if self._depth_max is not None and len(self._order) >= self._depth_max:
            self.dropped += 1
            self._remove(len(self._order) - 1)
        self._last_id += 1
        item = _Item(key, data, done)
        self._items[self._last_id] = item
        if key:
            self._by_key[key] = self._last_id
        insort(self._order, (0, -len(data), -self._last_id))

    def withdraw(self, key: str) -> None:
        """Forget the broadcast under a key, if there is one."""
        number = self._by_key.get(key)
        if number is not None:
            item = self._items[number]
            self._remove(bisect_left(self._order, (item.sent, -len(item.data), -number)))

    def clear(self) -> None:
        """Forget everything: there is nobody to tell."""
        while self._order:
            self._remove(len(self._order) - 1)

    def _remove(self, place: int) -> None:
        self._finish(-self._order.pop(place)[2])

    def _finish(self, number: int) -> None:
        item = self._items.pop(number)
        if item.key and self._by_key.get(item.key) == number:
            del self._by_key[item.key]
        if item.done is not None:
            item.done()

    def take(self, budget: int, parts_max: int, limit: int) -> list[bytes]:
        """Messages for one packet, at most `budget` bytes with their lengths; counts them as sent once more."""
        order = self._order
        taken: list[tuple[int, int, int]] = []
        place = 0
        while place < len(order) and len(taken) < parts_max:
            sent, size, _ = order[place]
            if PART_BYTES - size <= budget:
                taken.append(order.pop(place))
                budget -= PART_BYTES - size
                continue
            # the first of this tier that is small enough, or the next tier
            place = bisect_left(order, (sent, PART_BYTES - budget), place + 1)
        messages = []
        for sent, size, number in taken:
            item = self._items[-number]
            messages.append(item.data)
            item.sent = sent + 1
            if item.sent >= limit:
                self._finish(-number)
            else:
                insort(order, (item.sent, size, number))
        return messages
