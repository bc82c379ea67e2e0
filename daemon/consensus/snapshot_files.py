"""Snapshot files: one file a snapshot, complete or not there.

Theory: written as `.tmp`, synced, renamed, and the directory synced, so a name means a whole file. Each piece has its
own checksum inside; here each has its length, and the file ends with a checksum over everything. The two newest
are kept: should the newest turn out damaged, the log still reaches back to the one before.

Source: spec/gossip-and-raft.md section 4 (snapshots).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct
from zlib import crc32

from daemon.consensus.logstore import StoreCorrupt
from daemon.consensus.port import SnapshotMark

MAGIC = b"encamp-snapshot-1\n"
KEPT = 2
_NAME = re.compile(r"snapshot-(\d{20})-(\d{20})")
_LENGTH = Struct("<I")
#: written instead of a length, before the checksum.
_END = 0xFFFFFFFF


class SnapshotFiles:
    """The snapshots in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, mark: SnapshotMark) -> Path:
        """Where a snapshot lies."""
        return self.directory / f"snapshot-{mark.index:020d}-{mark.term:020d}"

    def marks(self) -> list[SnapshotMark]:
        """Snapshots that are there, newest first."""
        found = [_NAME.fullmatch(path.name) for path in self.directory.iterdir()]
        marks = [SnapshotMark(index=int(name[1]), term=int(name[2])) for name in found if name]
        return sorted(marks, key=lambda mark: (mark.index, mark.term), reverse=True)

    def sweep(self) -> None:
        """Remove what a crash left half-written."""
        for path in self.directory.glob("snapshot-*.tmp"):
            path.unlink()

    def write(self, mark: SnapshotMark, pieces: Iterable[bytes]) -> None:
        """Store one durably; afterwards drop all but the newest two.

        Raises: OSError; then nothing is left of it.
        """
        path = self.path(mark)
        temporary = path.with_name(path.name + ".tmp")
        try:
            with open(temporary, "wb") as file:
                checksum = crc32(MAGIC)
                file.write(MAGIC)
                for piece in pieces:
                    framed = _LENGTH.pack(len(piece)) + piece
                    checksum = crc32(framed, checksum)
                    file.write(framed)
                file.write(_LENGTH.pack(_END) + _LENGTH.pack(checksum))
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_directory(self.directory)
        for old in self.marks()[KEPT:]:
            self.path(old).unlink(missing_ok=True)

    def read(self, mark: SnapshotMark) -> Iterator[bytes]:
        """The pieces of one, one after the other.

        Raises: StoreCorrupt, at the latest at the end.
        """
        path = self.path(mark)
        with open(path, "rb") as file:
            checksum = crc32(MAGIC)
            if file.read(len(MAGIC)) != MAGIC:
                raise StoreCorrupt(f"{path} is not a snapshot of this version", path=str(path))
            while True:
                head = file.read(_LENGTH.size)
                if len(head) < _LENGTH.size:
                    raise StoreCorrupt(f"{path} is cut off", path=str(path))
                (length,) = _LENGTH.unpack(head)
                if length == _END:
                    break
                piece = file.read(length)
                if len(piece) < length:
                    raise StoreCorrupt(f"{path} is cut off or damaged", path=str(path))
                checksum = crc32(piece, crc32(head, checksum))
                yield piece
            if file.read() != _LENGTH.pack(checksum):
                raise StoreCorrupt(f"{path} is damaged: its checksum does not match", path=str(path))


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
