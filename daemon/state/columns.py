"""Interned text columns: one attribute of all nodes as small integers. Pure.

Theory: code -1 means absent; `vocabulary[code]` is the text. A constraint is evaluated once per word of the
vocabulary and becomes a mask by indexing, whatever its operator. Words that no node has any more stay until
the vocabulary is twice the number of rows, then the column is rebuilt.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Mask = NDArray[np.bool_]


def grown(array: NDArray[Any], length: int, fill: int | bool) -> NDArray[Any]:
    """A copy of `array` whose last axis is longer, the new part filled."""
    shape = (*array.shape[:-1], length)
    out = np.full(shape, fill, dtype=array.dtype)
    out[..., : array.shape[-1]] = array
    return out


class Column:
    """Codes and vocabulary of one key. `version` moves with every change, for caches of masks."""

    __slots__ = ("_codes_of", "codes", "version", "vocabulary")

    def __init__(self, length: int) -> None:
        self.codes: Codes = np.full(length, -1, dtype=np.int32)
        self.vocabulary: list[str] = []
        self.version = 0
        self._codes_of: dict[str, int] = {}

    def set(self, row: int, value: str | None) -> None:
        """Give a row its value; None takes it away."""
        if value is None:
            code = -1
        else:
            code = self._codes_of.get(value, -1)
            if code < 0:
                if len(self.vocabulary) > 2 * len(self.codes) + 64:
                    self._rebuild()
                code = self._codes_of[value] = len(self.vocabulary)
                self.vocabulary.append(value)
        if self.codes[row] != code:
            self.codes[row] = code
            self.version += 1

    def get(self, row: int) -> str | None:
        """Value of a row, None when absent."""
        code = int(self.codes[row])
        return None if code < 0 else self.vocabulary[code]

    def code(self, value: str) -> int:
        """Code of a word; -2, which no row has, when nobody ever had it."""
        return self._codes_of.get(value, -2)

    def grow(self, length: int) -> None:
        """Make room for rows."""
        self.codes = grown(self.codes, length, -1)
        self.version += 1

    def _rebuild(self) -> None:
        words = self.vocabulary
        self.vocabulary, self._codes_of = [], {}
        for row, code in enumerate(self.codes.tolist()):
            if code < 0:
                continue
            word = words[code]
            fresh = self._codes_of.get(word, -1)
            if fresh < 0:
                fresh = self._codes_of[word] = len(self.vocabulary)
                self.vocabulary.append(word)
            self.codes[row] = fresh
        self.version += 1
