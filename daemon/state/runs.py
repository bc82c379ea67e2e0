"""Runs: an index from integer keys to slots, as a few sorted numpy columns.

Theory: a bulk insert only remembers its columns; they are sorted when enough of them have come together or when
somebody looks something up. Sorted runs are merged as in a log-structured tree, with a largest size, so that no
single merge takes long. About 12-16 bytes an entry, and no Python object for any.
Non-goals: deletion of single entries. Whoever looks up checks what a slot refers to; `prune` drops the dead.
Pure.

Source: architecture.md "State" (block of columns with its id index).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
#: a batch of this many entries is sorted at once (about 1 ms).
_BATCH = 16_384
#: runs do not grow beyond this (a merge takes a few ms).
_RUN_MAX = 262_144


class Runs:
    """Sorted columns of (key, slot). Keys need not be unique."""

    __slots__ = ("_pending", "_pending_size", "_runs", "_turn", "dtype")

    def __init__(self, dtype: type[np.unsignedinteger[Any]]) -> None:
        self.dtype = dtype
        self._runs: list[tuple[Column, Column]] = []
        self._pending: list[tuple[Column, Column]] = []
        self._pending_size = 0
        self._turn = 0

    def __len__(self) -> int:
        return self._pending_size + sum(len(keys) for keys, _ in self._runs)

    @property
    def nbytes(self) -> int:
        """Memory of the columns."""
        return sum(keys.nbytes + slots.nbytes for keys, slots in (*self._runs, *self._pending))

    def add(self, keys: Column, slots: Column) -> None:
        """Insert entries; the arrays are kept, not copied."""
        self._pending.append((keys, slots))
        self._pending_size += len(keys)
        if self._pending_size >= _BATCH:
            self._settle()

    def find(self, key: int) -> list[int]:
        """Slots of one key, in no particular order."""
        if self._pending:
            self._settle()
        wanted = self.dtype(key)
        found: list[int] = []
        for keys, slots in self._runs:
            at = int(keys.searchsorted(wanted))
            if at < len(keys) and keys[at] == wanted:
                found.extend(slots[at : int(keys.searchsorted(wanted, "right"))].tolist())
        return found

    def find_many(self, wanted: Column) -> Column:
        """One slot for each key, -1 where there is none; for keys that are nearly always unique."""
        if self._pending:
            self._settle()
        found: Column = np.full(len(wanted), -1, dtype=np.int64)
        for keys, slots in self._runs:
            at = np.minimum(keys.searchsorted(wanted), len(keys) - 1)
            hit = keys[at] == wanted
            found[hit] = slots[at[hit]]
        return found

    def between(self, low: int, high: int) -> list[int]:
        """Slots of all keys from low to high, both included."""
        if self._pending:
            self._settle()
        found: list[int] = []
        for keys, slots in self._runs:
            start = int(keys.searchsorted(self.dtype(low)))
            end = int(keys.searchsorted(self.dtype(high), "right"))
            found.extend(slots[start:end].tolist())
        return found

    def prune(self, is_alive: Callable[[int], bool], shift: int) -> None:
        """Drop, from one run a call, the slots whose `slot >> shift` is no longer alive."""
        if self._pending:
            self._settle()
        if not self._runs:
            return
        self._turn = (self._turn + 1) % len(self._runs)
        keys, slots = self._runs[self._turn]
        groups, where = np.unique(slots >> shift, return_inverse=True)
        keep = np.array([is_alive(group) for group in groups.tolist()], dtype=bool)[where]
        if keep.all():
            return
        if keep.any():
            self._runs[self._turn] = (keys[keep], slots[keep])
        else:
            del self._runs[self._turn]

    def _settle(self) -> None:
        """Sort what is pending into a run, and merge runs of similar size."""
        keys, slots = _joined(self._pending)
        self._pending = []
        self._pending_size = 0
        order = np.argsort(keys, kind="stable")
        self._runs.append((keys[order], slots[order]))
        while len(self._runs) >= 2:
            last, other = len(self._runs[-1][0]), len(self._runs[-2][0])
            if other > 2 * last or last + other > _RUN_MAX:
                return
            keys, slots = _joined([self._runs.pop(-2), self._runs.pop()])
            # two sorted halves: the stable sort finds them and merges in one pass.
            order = np.argsort(keys, kind="stable")
            self._runs.append((keys[order], slots[order]))


def _joined(parts: list[tuple[Column, Column]]) -> tuple[Column, Column]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([keys for keys, _ in parts]), np.concatenate([slots for _, slots in parts])
