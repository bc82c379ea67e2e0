"""Tables of the SQLite log store, and the checks made when they are read.

Source: daemon/consensus/sqlite_store.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from daemon.consensus.logstore import StoreCorrupt, entry_checksum
from daemon.consensus.port import Entry, EntryKind, HardState, SnapshotMark
from daemon.model.base import Strict, decode, encode
from daemon.model.errors import InvalidInput

#: of the files; raised with every change that an older version cannot read.
FORMAT = 1
_PRAGMAS = (
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA trusted_schema = OFF",
)
_TABLES = (
    "CREATE TABLE log (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, kind INTEGER NOT NULL, "
    "checksum INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT",
)

Fault = Callable[[str], StoreCorrupt]


class Meta(Strict, frozen=True, kw_only=True):
    """What the store knows besides its entries."""

    store_id: bytes
    hard_state: HardState
    compacted_index: int
    compacted_term: int


def connect(path: Path) -> sqlite3.Connection:
    """The one connection."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=1.0, cached_statements=32)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def has_tables(db: sqlite3.Connection) -> bool:
    """False for a new file."""
    return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone())


def create(db: sqlite3.Connection, store_id: bytes) -> None:
    """Make the tables, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    for statement in _TABLES:
        db.execute(statement)
    _put(db, "format", encode(FORMAT))
    _put(db, "store_id", encode(store_id))
    write_meta(db, hard_state=HardState(), compacted=SnapshotMark(index=0, term=0))
    db.execute("COMMIT")


def write_meta(
    db: sqlite3.Connection, *, hard_state: HardState | None = None, compacted: SnapshotMark | None = None
) -> None:
    """Replace what is given."""
    if hard_state is not None:
        _put(db, "hard_state", encode(hard_state))
    if compacted is not None:
        _put(db, "compacted", encode(compacted))


def read_meta(db: sqlite3.Connection, fault: Fault) -> Meta:
    """All of it, checked.

    Raises: StoreCorrupt.
    """
    values: dict[str, bytes] = {}
    for name, value, checksum in db.execute("SELECT name, value, checksum FROM meta"):
        if crc32(value, crc32(name.encode())) != checksum:
            raise fault(f"has a damaged record {name!r}")
        values[name] = value
    missing = {"format", "store_id", "hard_state", "compacted"} - values.keys()
    if missing:
        raise fault(f"lacks the records {', '.join(sorted(missing))}")
    try:
        version = decode(values["format"], int)
        if version > FORMAT:
            raise fault(f"has format {version}, this version of encamp reads up to {FORMAT}")
        compacted = decode(values["compacted"], SnapshotMark)
        return Meta(
            store_id=decode(values["store_id"], bytes),
            hard_state=decode(values["hard_state"], HardState),
            compacted_index=compacted.index,
            compacted_term=compacted.term,
        )
    except InvalidInput as error:
        raise fault(f"has a record that cannot be read: {error}") from error


def scan(db: sqlite3.Connection, compacted_index: int, fault: Fault) -> int:
    """Check every entry; the index of the last.

    Raises: StoreCorrupt, naming the first entry that is damaged or missing.
    """
    last = compacted_index
    for index, term, kind, checksum, data in db.execute(
        "SELECT idx, term, kind, checksum, data FROM log ORDER BY idx"
    ):
        if index != last + 1:
            raise fault(f"lacks entry {last + 1}")
        try:
            entry = Entry(index=index, term=term, kind=EntryKind(kind), data=data)
        except ValueError as error:
            raise fault(f"has a damaged entry {index}: {error}") from error
        if entry_checksum(entry) != checksum:
            raise fault(f"has a damaged entry {index}: its checksum does not match")
        last = index
    return last


def _put(db: sqlite3.Connection, name: str, value: bytes) -> None:
    checksum = crc32(value, crc32(name.encode()))
    db.execute(
        "INSERT OR REPLACE INTO meta (name, value, checksum) VALUES (?, ?, ?)", (name, value, checksum)
    )
