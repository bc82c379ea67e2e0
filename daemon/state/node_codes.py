"""NodeCodes: nodes as small integers, with their current epochs as one column.

Theory: a block of placements names many nodes; stored, each is a code of 4 bytes, and the check "has any of
these nodes changed since the plan was made" is one comparison of two columns. A code stands for (id, name), so
that an allocation keeps the node's name of its day. Codes are never reused, and are part of a snapshot.
Pure.

Source: architecture.md "State" (repeated ids are interned).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: epoch of a node that does not exist.
GONE = -1


class NodeCodes:
    """Codes of (node id, node name) pairs, and the epoch of each now."""

    __slots__ = ("_codes", "_current", "_epochs", "_of_node", "ids", "names")

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], int] = {}
        self.ids: list[str] = []
        self.names: list[str] = []
        self._of_node: dict[str, list[int]] = {}
        self._current: dict[str, int] = {}
        self._epochs: npt.NDArray[np.int64] = np.full(64, GONE, dtype=np.int64)

    def set_epoch(self, node_id: str, epoch: int) -> None:
        """The node now has this epoch; GONE when it was removed."""
        if epoch == GONE:
            self._current.pop(node_id, None)
        else:
            self._current[node_id] = epoch
        for code in self._of_node.get(node_id, ()):
            self._epochs[code] = epoch

    def of_node(self, node_id: str) -> list[int]:
        """All codes that mean this node."""
        return self._of_node.get(node_id, [])

    def codes_for(self, ids: tuple[str, ...], names: tuple[str, ...]) -> npt.NDArray[np.uint32]:
        """Codes of the pairs; new ones are made for pairs never seen."""
        known = self._codes
        try:
            codes = [known[pair] for pair in zip(ids, names, strict=True)]
        except KeyError:
            codes = [self._code(pair) for pair in zip(ids, names, strict=True)]
        return np.array(codes, dtype=np.uint32)

    def epochs_of(self, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """Current epochs, GONE where there is no such node."""
        return self._epochs[codes]

    def load(self, ids: list[str], names: list[str]) -> None:
        """Append pairs from a snapshot, in order."""
        for pair in zip(ids, names, strict=True):
            self._code(pair)

    def _code(self, pair: tuple[str, str]) -> int:
        code = self._codes.get(pair)
        if code is not None:
            return code
        code = self._codes[pair] = len(self.ids)
        if code == len(self._epochs):
            grown: npt.NDArray[Any] = np.full(2 * code, GONE, dtype=np.int64)
            grown[:code] = self._epochs
            self._epochs = grown
        self.ids.append(pair[0])
        self.names.append(pair[1])
        self._of_node.setdefault(pair[0], []).append(code)
        self._epochs[code] = self._current.get(pair[0], GONE)
        return code
