"""A LogStore in SQLite: write-ahead log, full sync, one connection, one thread.

Theory: a batch is one transaction. SQLite alone does not notice flipped bits, and silently drops a damaged tail of its
own write-ahead log; so every row has a checksum, rows must follow each other without a gap, and a `SyncedMark`
remembers how far was acknowledged. Checkpoints are made here, not by SQLite, which would ignore their errors. After
an error of the disk nothing is written any more; only "no space" (nothing was written) may be tried again.

Source: spec/gossip-and-raft.md section 4; architecture.md "Consensus".
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from daemon.consensus.logstore import (
    StoreBroken,
    StoreCorrupt,
    StoreFull,
    checked_sequence,
    entry_checksum,
)
from daemon.consensus.port import Entry, EntryKind, HardState, SnapshotMark
from daemon.consensus.snapshot_files import SnapshotFiles, sync_directory
from daemon.consensus.sqlite_schema import (
    connect,
    create,
    has_tables,
    read_meta,
    scan,
    write_meta,
)
from daemon.consensus.synced_mark import SyncedMark

#: the write-ahead file is folded into the database when about this much was appended.
CHECKPOINT_BYTES = 16 << 20
_ADVICE = (
    "Nothing was changed. Restore the directory from a backup; or, if other servers of the cluster are alive, "
    "move it away and let this server join as a new one."
)


class SqliteStore:
    """The log, hard state and snapshots in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = directory / "log.db"
        self.first_index = 1
        self.last_index = 0
        self.hard_state = HardState()
        self._compacted_term = 0
        self._snapshots = SnapshotFiles(directory)
        self._mark = SyncedMark(directory / "log.synced")
        self._connection: sqlite3.Connection | None = None
        self._unfolded_bytes = 0
        self._broken: StoreBroken | None = None

    @property
    def where(self) -> str:
        """The database file."""
        return str(self.database)

    # opening -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Read and check everything; create what a new directory lacks."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._snapshots.sweep()
        is_new = not self.database.exists()
        try:
            self._connection = connect(self.database)
            if not has_tables(self._connection):
                self._create(is_new)
            else:
                self._load()
        except sqlite3.Error as error:
            self.close()
            if getattr(error, "sqlite_errorcode", 0) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreBroken(
                    f"{self.where} is in use by another process; is an agent with this data_dir running?"
                ) from error
            raise self._corrupt(f"cannot be read: {error}") from error
        except BaseException:
            self.close()
            raise

    def _create(self, is_new: bool) -> None:
        if self._mark.exists or self._snapshots.marks():
            what = "is missing" if is_new else "is empty"
            raise self._corrupt(f"{what}, but its companions (log.synced, snapshots) are there")
        assert self._connection is not None
        store_id = os.urandom(16)
        os.chmod(self.database, 0o600)
        create(self._connection, store_id)
        sync_directory(self.directory)
        self._mark.create(store_id, 0)

    def _load(self) -> None:
        assert self._connection is not None
        meta = read_meta(self._connection, self._corrupt)
        self.hard_state = meta.hard_state
        self.first_index = meta.compacted_index + 1
        self._compacted_term = meta.compacted_term
        self.last_index = scan(self._connection, meta.compacted_index, self._corrupt)
        if not self._mark.exists:
            if self.last_index or self._snapshots.marks():
                raise self._corrupt(f"has no companion {self._mark.path.name}")
            self._mark.create(meta.store_id, 0)
            return
        if not self._mark.open():
            raise self._corrupt(f"has a damaged companion {self._mark.path.name}")
        if self._mark.store_id != meta.store_id:
            raise self._corrupt(f"and {self._mark.path.name} are of different servers")
        if self.last_index < self._mark.index:
            raise self._corrupt(
                f"ends at entry {self.last_index}, but entry {self._mark.index} was acknowledged: "
                "the file is older, or its end was damaged"
            )
        self._mark.write(self.last_index, sync=True)

    def _corrupt(self, what: str) -> StoreCorrupt:
        return StoreCorrupt(f"the log {self.where} {what}. {_ADVICE}", path=self.where)

    # reading -------------------------------------------------------------------------------------------

    def term(self, index: int) -> int:
        """Term of an entry."""
        if index == self.first_index - 1:
            return self._compacted_term
        row = self._db().execute("SELECT term FROM log WHERE idx = ?", (index,)).fetchone()
        return int(row[0]) if row else 0

    def slice(self, low: int, high: int, max_bytes: int = 1 << 62) -> list[Entry]:
        """Entries from low to high."""
        found: list[Entry] = []
        size = 0
        rows = self._db().execute(
            "SELECT idx, term, kind, checksum, data FROM log WHERE idx BETWEEN ? AND ? ORDER BY idx",
            (low, high),
        )
        for index, term, kind, checksum, data in rows:
            size += len(data)
            if found and size > max_bytes:
                break
            entry = Entry(index=index, term=term, kind=EntryKind(kind), data=data)
            if entry_checksum(entry) != checksum:
                raise self._corrupt(f"has a damaged entry {index}")
            found.append(entry)
        return found

    # writing -------------------------------------------------------------------------------------------

    def append(
        self, entries: Sequence[Entry], hard_state: HardState | None = None, truncate_from: int = 0
    ) -> None:
        """One transaction, synced when it returns."""
        db = self._db()
        last = min(self.last_index, truncate_from - 1) if truncate_from else self.last_index
        if last < self.first_index - 1:
            raise StoreBroken(f"{self.where}: what was compacted cannot be truncated (from {truncate_from})")
        checked_sequence(entries, last, self.where)
        try:
            if last < self._mark.index:
                self._mark.write(last, sync=True)
            db.execute("BEGIN IMMEDIATE")
            if last < self.last_index:
                db.execute("DELETE FROM log WHERE idx > ?", (last,))
            if hard_state is not None:
                write_meta(db, hard_state=hard_state)
            db.executemany(
                "INSERT INTO log (idx, term, kind, checksum, data) VALUES (?, ?, ?, ?, ?)",
                [(e.index, e.term, int(e.kind), entry_checksum(e), e.data) for e in entries],
            )
            self._commit(db)
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error
        self.last_index = last + len(entries)
        if hard_state is not None:
            self.hard_state = hard_state
        self._remember(self.last_index)
        self._unfolded_bytes += sum(len(entry.data) + 64 for entry in entries)
        if self._unfolded_bytes >= CHECKPOINT_BYTES:
            self._checkpoint()

    def compact(self, through_index: int) -> None:
        """Forget entries up to this one."""
        db = self._db()
        through = min(through_index, self.last_index)
        if through < self.first_index:
            return
        term = self.term(through)
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM log WHERE idx <= ?", (through,))
            write_meta(db, compacted=SnapshotMark(index=through, term=term))
            self._commit(db)
        except sqlite3.Error as error:
            raise self._failure(error) from error
        self._compacted_term = term
        self.first_index = through + 1

    def _commit(self, db: sqlite3.Connection) -> None:
        """Here the batch becomes durable."""
        db.execute("COMMIT")

    def _remember(self, index: int) -> None:
        """Note how far the log is durable, before anybody is told."""
        try:
            self._mark.write(index)
        except OSError as error:
            # the batch is durable already: this must not look like "nothing was written".
            raise self._break(error) from error

    def _checkpoint(self) -> None:
        try:
            self._db().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._unfolded_bytes = 0
        except sqlite3.Error as error:
            failure = self._failure(error)
            if isinstance(failure, StoreBroken):
                raise failure from error
            # no space to fold: the entries are durable in the write-ahead file, and it is tried again.

    def _failure(self, error: sqlite3.Error | OSError) -> StoreFull | StoreBroken:
        """Undo the transaction, and say whether it may be tried again."""
        db = self._db()
        full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL or (
            isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        )
        if db.in_transaction:
            try:
                db.execute("ROLLBACK")
            except sqlite3.Error:
                full = False
        if full:
            return StoreFull(
                f"no space left for the log {self.where}: nothing was written; free some space",
                path=self.where,
            )
        return self._break(error)

    def _break(self, error: sqlite3.Error | OSError) -> StoreBroken:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        self._broken = StoreBroken(
            f"writing the log {self.where} failed ({name}: {error}); nothing more is written to it, because what "
            "reached the disk is unknown. Check the disk, then restart this server",
            path=self.where,
        )
        return self._broken

    # snapshots -----------------------------------------------------------------------------------------

    def write_snapshot(self, mark: SnapshotMark, pieces: Iterable[bytes]) -> None:
        """One file, whole or not there."""
        try:
            self._snapshots.write(mark, pieces)
        except OSError as error:
            kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else StoreBroken
            raise kind(f"cannot write a snapshot to {self.directory}: {error}") from error

    def snapshots(self) -> list[SnapshotMark]:
        """Newest first."""
        return self._snapshots.marks()

    def read_snapshot(self, mark: SnapshotMark) -> Iterator[bytes]:
        """Its pieces."""
        return self._snapshots.read(mark)

    def close(self) -> None:
        """Release the files. What was acknowledged is durable without it."""
        self._mark.close()
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _db(self) -> sqlite3.Connection:
        if self._broken is not None:
            raise self._broken
        if self._connection is None:
            raise StoreBroken(f"the log {self.where} is closed")
        return self._connection
