"""Table: a mapping in shards that are copied on the first write after a snapshot.

Theory: taking a snapshot marks every shard as shared, which costs microseconds; a later write copies only its
own shard. A key's shard depends on the key alone (never on Python's hash, which differs between processes).
Ids whose first two characters are hex digits share the shard of those, so that a prefix search reads one shard.
Pure.

Source: architecture.md "State" (snapshots).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Generic, TypeVar
from zlib import crc32

K = TypeVar("K")
V = TypeVar("V")

ID_SHARDS = 256
_HEX = {f"{value:02x}": value for value in range(256)}


def id_shard(key: str) -> int:
    """Shard of an id: its first two hex digits, or a checksum of a name that has none."""
    shard = _HEX.get(key[:2])
    return crc32(key.encode()) & 255 if shard is None else shard


def prefix_shard(prefix: str) -> int | None:
    """The only shard that ids with this prefix can be in; None when it may be any."""
    return _HEX.get(prefix[:2])


@lru_cache(maxsize=1 << 16)
def name_shard(key: tuple[str, ...]) -> int:
    """Shard of a key made of names."""
    return crc32("\0".join(key).encode()) & 63


def one_shard(key: str) -> int:
    """For tables of a few rows."""
    return 0


def number_shard(key: int) -> int:
    """Shard of a running number."""
    return key & 63


class Table(Generic[K, V]):
    """A dict in shards with cheap frozen copies."""

    __slots__ = ("_shared", "_size", "shard_of", "shards")

    def __init__(self, shard_count: int, shard_of: Callable[[K], int]) -> None:
        self.shards: list[dict[K, V]] = [{} for _ in range(shard_count)]
        self._shared = bytearray(shard_count)
        self.shard_of = shard_of
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __contains__(self, key: K) -> bool:
        return key in self.shards[self.shard_of(key)]

    def get(self, key: K) -> V | None:
        """The row, or None."""
        return self.shards[self.shard_of(key)].get(key)

    def put(self, key: K, value: V) -> None:
        """Insert or replace."""
        shard = self._own(self.shard_of(key))
        self._size -= len(shard)
        shard[key] = value
        self._size += len(shard)

    def pop(self, key: K) -> V | None:
        """Remove and return the row, or None."""
        number = self.shard_of(key)
        if key not in self.shards[number]:
            return None
        self._size -= 1
        return self._own(number).pop(key)

    def values(self) -> Iterator[V]:
        """All rows. The table must not change meanwhile."""
        for shard in self.shards:
            yield from shard.values()

    def freeze(self) -> tuple[dict[K, V], ...]:
        """The shards as they are now; later writes copy theirs first."""
        self._shared = bytearray(b"\1" * len(self.shards))
        return tuple(self.shards)

    def _own(self, number: int) -> dict[K, V]:
        if self._shared[number]:
            self.shards[number] = dict(self.shards[number])
            self._shared[number] = 0
        return self.shards[number]
