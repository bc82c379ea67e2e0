"""Local state of the node: allocations, their job versions and runner records, in one SQLite file.

Theory: a record is on the disk (WAL, synchronous=FULL) before its effects happen, so that a crash at any line
recovers. One writer thread owns the connection; what waits when it is free goes into one transaction, so that many
allocations share one fsync. Every row has a checksum; a damaged row is refused by name, never guessed at.

Not here: what the records mean (`runner.records`).
Source: architecture.md "The node".
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import zlib
from pathlib import Path
from typing import Any

import msgspec

from daemon.model.alloc import Allocation
from daemon.model.base import Wire, decode, encode
from daemon.model.errors import InvalidInput, Unavailable
from daemon.model.job import Job
from daemon.node.runner.records import AllocRecord

log = logging.getLogger("encamp.node")

_SCHEMA = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS allocs (id TEXT PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (id TEXT PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
"""
_WRITES_MAX = 10_000

Statement = tuple[str, tuple[Any, ...]]


class Stored(Wire, frozen=True, kw_only=True):
    """One allocation as it was read back."""

    alloc: Allocation
    job: Job
    record: AllocRecord


class _Write(msgspec.Struct):
    statements: list[Statement]
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


def job_key(namespace: str, job_id: str, version: int, spec_index: int) -> str:
    """Key of a job version; the spec's index tells in-place updates apart."""
    return f"{namespace}\0{job_id}\0{version}\0{spec_index}"


class NodeStore:
    """The node's SQLite file. Methods may be called from the event loop only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.Queue[_Write | None] = queue.Queue(maxsize=_WRITES_MAX)
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Open or make the file and start the writer. Blocking.

        Raises: Unavailable when the file is damaged, of a newer version, or cannot be used.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = self._connect()
        except sqlite3.DatabaseError as error:
            raise Unavailable(
                f"the node's local state {self._path} cannot be used: {error}; move the file away to start without "
                "it (tasks that still run must then be stopped by hand)",
                path=str(self._path),
            ) from error
        self._thread = threading.Thread(target=self._write_all, args=(connection,), name="encamp-node-store")
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_TABLES)
            row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
            if row is None:
                connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(_SCHEMA).encode(),))
            elif int(row[0]) > _SCHEMA:
                raise sqlite3.DatabaseError(f"it was written by a newer version (schema {int(row[0])})")
        except BaseException:
            connection.close()
            raise
        self._path.chmod(0o600)
        return connection

    async def load(self) -> list[Stored]:
        """All allocations, oldest first. Raises Unavailable when a row is damaged."""
        return await asyncio.to_thread(self._load)

    def _load(self) -> list[Stored]:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            rows = {table: dict(self._rows(connection, table)) for table in ("allocs", "records", "jobs")}
        except sqlite3.DatabaseError as error:
            raise Unavailable(
                f"the node's local state {self._path} is damaged: {error}; move it away", path=str(self._path)
            ) from error
        finally:
            connection.close()
        stored = []
        for alloc_id, data in rows["allocs"].items():
            try:
                alloc = decode(data, Allocation)
                key = job_key(alloc.namespace, alloc.job_id, alloc.job_version, alloc.job_spec_index)
                job = decode(rows["jobs"][key], Job)
                record = decode(rows["records"][alloc_id], AllocRecord)
            except (InvalidInput, KeyError) as error:
                raise Unavailable(
                    f"allocation {alloc_id} in {self._path} cannot be read: {error}", alloc_id=alloc_id
                ) from error
            stored.append(Stored(alloc=alloc, job=job, record=record))
        return sorted(stored, key=lambda one: (one.alloc.create_index, one.alloc.id))

    def _rows(self, connection: sqlite3.Connection, table: str) -> list[tuple[str, bytes]]:
        found = []
        for key, data, crc in connection.execute(f"SELECT id, data, crc FROM {table}"):  # noqa: S608
            if not isinstance(data, bytes) or zlib.crc32(data) != crc:
                raise sqlite3.DatabaseError(f"row {key!r} of table {table} fails its checksum")
            found.append((key, data))
        return found

    async def put_alloc(self, alloc: Allocation, job: Job, record: AllocRecord) -> None:
        """Store an allocation with the job version that it runs. Raises OSError-like sqlite3.Error."""
        key = job_key(alloc.namespace, alloc.job_id, alloc.job_version, alloc.job_spec_index)
        await self._write(
            [_put("jobs", key, job), _put("allocs", alloc.id, alloc), _put("records", alloc.id, record)]
        )

    async def put_record(self, alloc_id: str, record: AllocRecord) -> None:
        """Store what a step of the runner has changed. Raises sqlite3.Error."""
        await self._write([_put("records", alloc_id, record)])

    async def forget(self, alloc_ids: list[str], jobs_kept: set[str]) -> None:
        """Remove allocations, and the job versions that nothing refers to. Raises sqlite3.Error."""
        statements: list[Statement] = []
        for alloc_id in alloc_ids:
            statements.append(("DELETE FROM allocs WHERE id = ?", (alloc_id,)))
            statements.append(("DELETE FROM records WHERE id = ?", (alloc_id,)))
        marks = ",".join("?" * len(jobs_kept))
        statements.append((f"DELETE FROM jobs WHERE id NOT IN ({marks})", tuple(sorted(jobs_kept))))  # noqa: S608
        await self._write(statements)

    async def _write(self, statements: list[Statement]) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        done.add_done_callback(lambda over: over.cancelled() or over.exception())
        try:
            self._queue.put_nowait(_Write(statements, done, loop))
        except queue.Full:
            raise Unavailable("the node's local state has too many writes waiting") from None
        # a write that has begun is not taken back: the caller must know whether it is on the disk
        await asyncio.shield(done)

    def _write_all(self, connection: sqlite3.Connection) -> None:
        """The writer thread: all that waits goes into one transaction."""
        ending = False
        while not ending:
            first = self._queue.get()
            batch = [first] if first is not None else []
            ending = first is None
            while not self._queue.empty():
                more = self._queue.get_nowait()
                ending = ending or more is None
                if more is not None:
                    batch.append(more)
            if batch:
                self._commit(connection, batch)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, batch: list[_Write]) -> None:
        error: Exception | None = None
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in batch:
                for sql, values in write.statements:
                    connection.execute(sql, values)
            connection.execute("COMMIT")
        except sqlite3.Error as caught:
            error = caught
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        for write in batch:
            self._answer(write, error)

    def _answer(self, write: _Write, error: Exception | None) -> None:
        def finish() -> None:
            if write.done.done():
                return
            if error is None:
                write.done.set_result(None)
            else:
                write.done.set_exception(error)

        try:
            write.loop.call_soon_threadsafe(finish)
        except RuntimeError:
            log.debug("the loop that asked for a write of the node's state is gone")

    def close(self) -> None:
        """Write what waits, and let go of the file. Blocking, short. Idempotent."""
        if self._thread is None:
            return
        self._queue.put(None)
        self._thread.join()
        self._thread = None


def _put(table: str, key: str, value: Any) -> Statement:
    data = encode(value)
    return (f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", (key, data, zlib.crc32(data)))  # noqa: S608
