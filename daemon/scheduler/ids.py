"""Ids and numbers of one attempt, from its seed alone. Pure.

Theory: SHAKE-128 of (seed, evaluation, attempt, counter). The same input gives the same ids everywhere; another
evaluation or attempt gives others, even under the same seed.
"""

from __future__ import annotations

from hashlib import shake_128

import numpy as np
from numpy.typing import NDArray

from daemon.state.columns import Ints


def uuid_text(raw: bytes) -> str:
    """The usual text of 16 bytes."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Ids:
    """A stream of version 4 UUIDs and small numbers."""

    def __init__(self, seed: int, eval_id: str, attempt: int) -> None:
        self._prefix = f"{seed}/{eval_id}/{attempt}/".encode()
        self._drawn = 0

    def _bytes(self, count: int) -> bytes:
        self._drawn += 1
        return shake_128(self._prefix + str(self._drawn).encode()).digest(count)

    def uuids(self, count: int) -> bytes:
        """16 bytes for each of `count` ids."""
        raw = np.frombuffer(self._bytes(16 * count), dtype=np.uint8).reshape(count, 16).copy()
        raw[:, 6] = (raw[:, 6] & 0x0F) | 0x40
        raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
        return raw.tobytes()

    def uuid(self) -> str:
        """One id as text."""
        raw = bytearray(self._bytes(16))
        raw[6] = (raw[6] & 0x0F) | 0x40
        raw[8] = (raw[8] & 0x3F) | 0x80
        return uuid_text(bytes(raw))

    def number(self, below: int) -> int:
        """A number from 0 up to, not including, `below`."""
        return int.from_bytes(self._bytes(8), "little") % below


def order_numbers(order: int, length: int) -> Ints:
    """20-bit numbers, one a row, well mixed: one order among equals for each `order`."""
    x: NDArray[np.uint64] = np.arange(length, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x ^= np.uint64(int.from_bytes(shake_128(str(order).encode()).digest(8), "little"))
    x *= np.uint64(0x94D049BB133111EB)
    x >>= np.uint64(44)
    return x.view(np.int64)
