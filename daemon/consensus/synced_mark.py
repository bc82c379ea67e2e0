"""SyncedMark: a small file beside the log that remembers how far the log was acknowledged.

Theory: SQLite drops a damaged tail of its write-ahead log without a word. This file, written after each commit, has the
last index; a log that ends before it is older or damaged, and is refused. It lags at most behind what was
acknowledged, never ahead: before entries are truncated it is lowered first. Two slots are written in turn, so
that a torn write spoils only the newer one.

Source: architecture.md "Consensus".
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct
from zlib import crc32

from daemon.consensus.snapshot_files import sync_directory

#: magic, sequence, index, store id.
_SLOT = Struct("<8sQQ16s")
_MAGIC = b"encmark1"
_SLOT_SIZE = 512


class SyncedMark:
    """The last index that was acknowledged, and the id of the store it belongs to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = 0
        self.store_id = b""
        self._sequence = 0
        self._descriptor = -1

    @property
    def exists(self) -> bool:
        """True when the file is there."""
        return self.path.exists()

    def create(self, store_id: bytes, index: int) -> None:
        """Make the file, durably."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._descriptor, bytes(2 * _SLOT_SIZE), 0)
        self.store_id = store_id
        self.write(index, sync=True)
        sync_directory(self.path.parent)

    def open(self) -> bool:
        """Read the newer valid slot; False when neither is valid."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        found = [self._slot(number) for number in (0, 1)]
        valid = [slot for slot in found if slot is not None]
        if not valid:
            return False
        self._sequence, self.index, self.store_id = max(valid)
        return True

    def write(self, index: int, *, sync: bool = False) -> None:
        """Remember an index. The bytes are as large as they were, so no space is needed."""
        self._sequence += 1
        head = _SLOT.pack(_MAGIC, self._sequence, index, self.store_id)
        data = head + crc32(head).to_bytes(4, "little")
        os.pwrite(self._descriptor, data, (self._sequence % 2) * _SLOT_SIZE)
        self.index = index
        if sync:
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _slot(self, number: int) -> tuple[int, int, bytes] | None:
        data = os.pread(self._descriptor, _SLOT.size + 4, number * _SLOT_SIZE)
        head = data[: _SLOT.size]
        if len(data) < _SLOT.size + 4 or crc32(head).to_bytes(4, "little") != data[_SLOT.size :]:
            return None
        magic, sequence, index, store_id = _SLOT.unpack(head)
        return (sequence, index, store_id) if magic == _MAGIC else None
