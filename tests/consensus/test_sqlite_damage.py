"""What the SQLite store does about damage: cut files, flipped bits, older files, full disks, failing disks."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import sqlite3
import subprocess

import pytest

from daemon.consensus.logstore import StoreBroken, StoreCorrupt, StoreFull
from daemon.consensus.port import Entry, EntryKind, HardState, SnapshotMark
from daemon.consensus.sqlite_store import SqliteStore


def entries(first, count, size=300):
    return [
        Entry(index=n, term=1, kind=EntryKind.COMMAND, data=bytes([n % 251]) * size)
        for n in range(first, first + count)
    ]


def filled(directory, count=40, per_batch=4):
    """A store with entries, left as a crash leaves it: the write-ahead file is still there."""
    store = SqliteStore(directory)
    store.open()
    store.append((), HardState(term=1, vote="me"))
    for first in range(1, count + 1, per_batch):
        store.append(entries(first, per_batch))
    crashed = directory.with_name(directory.name + "-crashed")
    shutil.copytree(directory, crashed)
    store.close()
    return crashed


def reopen(directory):
    store = SqliteStore(directory)
    try:
        store.open()
        return store.last_index, store.slice(1, 999), store.hard_state
    finally:
        store.close()


def test_a_crash_loses_nothing_that_was_acknowledged(tmp_path):
    crashed = filled(tmp_path / "log")
    assert reopen(crashed) == (40, entries(1, 40), HardState(term=1, vote="me"))


def test_every_prefix_of_the_write_ahead_file_is_whole_or_refused(tmp_path):
    """Crash-prefix replay: a prefix shows whole batches, and one shorter than the mark is refused."""
    crashed = filled(tmp_path / "log", count=12)
    wal = (crashed / "log.db-wal").read_bytes()
    sizes = random.Random(1).sample(range(len(wal)), 40)
    for size in [0, *sizes, len(wal)]:
        work = tmp_path / f"cut-{size}"
        shutil.copytree(crashed, work)
        (work / "log.db-wal").write_bytes(wal[:size])
        if size == len(wal):
            assert reopen(work)[0] == 12
            continue
        with pytest.raises(StoreCorrupt, match=r"log\.db .*(acknowledged|empty).*backup"):
            reopen(work)
        # a crash before anything was acknowledged: the same prefix with a mark that does not say more.
        store = SqliteStore(work)
        (work / "log.synced").unlink()
        try:
            store.open()
            assert store.last_index == 0
        except StoreCorrupt as error:
            assert "no companion" in str(error)
        finally:
            store.close()


def test_flipped_bits_are_always_found(tmp_path):
    """Either everything is still as it was, or the store refuses; never something in between."""
    crashed = filled(tmp_path / "log")
    whole = reopen(shutil.copytree(crashed, tmp_path / "whole"))
    source = random.Random(7)
    refused = 0
    for case in range(60):
        work = tmp_path / f"flip-{case}"
        shutil.copytree(crashed, work)
        if case % 2:  # fold the write-ahead file into the database first
            sqlite3.connect(work / "log.db").close()
        name = source.choice([n for n in ("log.db", "log.db-wal") if (work / n).exists()])
        data = bytearray((work / name).read_bytes())
        if data:
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)
            (work / name).write_bytes(data)
        try:
            assert reopen(work) == whole
        except StoreCorrupt as error:
            refused += 1
            assert "backup" in str(error)
        shutil.rmtree(work)
    assert refused > 20


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE log SET data = zeroblob(300) WHERE idx = 7", "damaged entry 7: its checksum"),
        ("UPDATE log SET term = 2 WHERE idx = 8", "damaged entry 8: its checksum"),
        ("UPDATE log SET kind = 0 WHERE idx = 9", "damaged entry 9: its checksum"),
        ("UPDATE log SET kind = 77 WHERE idx = 9", "damaged entry 9: 77 is not a valid EntryKind"),
        ("DELETE FROM log WHERE idx = 5", "lacks entry 5"),
        ("DELETE FROM log WHERE idx = 1", "lacks entry 1"),
        ("DELETE FROM log WHERE idx > 38", "ends at entry 38, but entry 40 was acknowledged"),
        ("UPDATE meta SET value = x'00' WHERE name = 'hard_state'", "damaged record 'hard_state'"),
        ("DELETE FROM meta WHERE name = 'compacted'", "lacks the records compacted"),
    ],
)
def test_what_sqlite_cannot_notice_is_found_at_the_start(tmp_path, change, said):
    directory = filled(tmp_path / "log")
    db = sqlite3.connect(directory / "log.db")
    db.execute(change)
    db.commit()
    db.close()
    store = SqliteStore(directory)
    with pytest.raises(StoreCorrupt, match=said):
        store.open()
    store.close()


def test_an_older_log_is_refused(tmp_path):
    directory = tmp_path / "log"
    store = SqliteStore(directory)
    store.open()
    store.append(entries(1, 3))
    store.close()
    old = (directory / "log.db").read_bytes()
    store = SqliteStore(directory)
    store.open()
    store.append(entries(4, 3))
    store.close()
    (directory / "log.db").write_bytes(old)
    with pytest.raises(StoreCorrupt, match="ends at entry 3, but entry 6 was acknowledged"):
        reopen(directory)


@pytest.mark.parametrize("how", ["other", "damaged", "missing", "no-database"])
def test_companions_belong_together(tmp_path, how):
    for name in ("a", "b"):
        store = SqliteStore(tmp_path / name)
        store.open()
        store.append(entries(1, 2))
        store.close()
    mark = tmp_path / "a" / "log.synced"
    if how == "other":
        mark.write_bytes((tmp_path / "b" / "log.synced").read_bytes())
    elif how == "damaged":
        mark.write_bytes(bytes(1024))
    elif how == "missing":
        mark.unlink()
    else:
        (tmp_path / "a" / "log.db").unlink()
    with pytest.raises(StoreCorrupt, match="backup"):
        reopen(tmp_path / "a")


def test_a_torn_mark_falls_back_to_the_slot_before(tmp_path):
    store = SqliteStore(tmp_path / "log")
    store.open()
    for first in (1, 2, 3):
        store.append(entries(first, 1))
    store.close()
    path = tmp_path / "log" / "log.synced"
    for slot in (0, 512):
        data = bytearray(path.read_bytes())
        data[slot + 20] ^= 1
        path.write_bytes(data)
        assert reopen(tmp_path / "log")[0] == 3  # reopening writes a fresh slot


def test_a_later_format_is_refused(tmp_path):
    store = SqliteStore(tmp_path / "log")
    store.open()
    from daemon.consensus import sqlite_schema
    from daemon.model.base import encode

    sqlite_schema._put(store._db(), "format", encode(2))
    store.close()
    with pytest.raises(StoreCorrupt, match="format 2"):
        reopen(tmp_path / "log")


def test_one_process_at_a_time(tmp_path):
    store = SqliteStore(tmp_path / "log")
    store.open()
    try:
        code = (
            "import sys; from pathlib import Path; from daemon.consensus.sqlite_store import SqliteStore\n"
            "SqliteStore(Path(sys.argv[1])).open()"
        )
        found = subprocess.run(
            ["/proc/self/exe", "-c", code, str(tmp_path / "log")],
            executable=os.path.realpath("/proc/self/exe"),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(__import__("sys").path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert found.returncode != 0
        assert "in use by another process" in found.stderr
    finally:
        store.close()


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 1 MiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.root
def test_a_full_disk_refuses_and_recovers(tiny_disk):
    store = SqliteStore(tiny_disk / "log")
    store.open()
    try:
        ballast = tiny_disk / "ballast"
        ballast.write_bytes(bytes(400_000))
        with pytest.raises(StoreFull, match="nothing was written"):
            for first in range(1, 1000):
                store.append(entries(first, 1, size=9000))
        last = store.last_index
        assert last > 3
        assert len(store.slice(1, 9999)) == last
        with pytest.raises(StoreFull):
            store.write_snapshot(SnapshotMark(index=last, term=1), [bytes(1 << 20)])
        assert store.snapshots() == []
        ballast.unlink()
        store.append(entries(last + 1, 2, size=9000))
    finally:
        store.close()
    assert reopen(tiny_disk / "log")[0] == last + 2


def test_a_failed_write_is_final(tmp_path):
    """A limit on file size makes the kernel refuse the write; that is not "no space"."""
    store = SqliteStore(tmp_path / "log")
    store.open()
    store.append(entries(1, 1))
    size = (tmp_path / "log" / "log.db-wal").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, before[1]))
    try:
        with pytest.raises(StoreBroken, match="restart this server"):
            store.append(entries(2, 50, size=4000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(StoreBroken):
        store.append(entries(2, 1))
    store.close()
    assert reopen(tmp_path / "log")[0] == 1


def test_a_mark_that_cannot_be_written_is_final(tmp_path):
    """The batch is durable by then: it must not look as if nothing was written."""
    store = SqliteStore(tmp_path / "log")
    store.open()

    def full(index, *, sync=False):
        raise OSError(errno.ENOSPC, "full")

    store._mark.write = full
    with pytest.raises(StoreBroken):
        store.append(entries(1, 1))
    store.close()
    assert reopen(tmp_path / "log")[0] == 1


@pytest.mark.parametrize("cut", [0, 5, 30, -1, -4])
def test_cut_snapshot_files_are_found(tmp_path, cut):
    store = SqliteStore(tmp_path / "log")
    store.open()
    mark = SnapshotMark(index=1, term=1)
    store.write_snapshot(mark, [b"abc", b"defgh"])
    path = store._snapshots.path(mark)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(StoreCorrupt):
        list(store.read_snapshot(mark))
    store.close()


def test_each_flipped_bit_of_a_snapshot_file_is_found(tmp_path):
    store = SqliteStore(tmp_path / "log")
    store.open()
    mark = SnapshotMark(index=1, term=1)
    store.write_snapshot(mark, [b"abc", b"defgh"])
    path = store._snapshots.path(mark)
    whole = path.read_bytes()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 0x10
        path.write_bytes(data)
        with pytest.raises(StoreCorrupt):
            list(store.read_snapshot(mark))
    store.close()


def test_half_written_snapshots_are_swept(tmp_path):
    (tmp_path / "log").mkdir()
    left = tmp_path / "log" / "snapshot-00000000000000000001-00000000000000000001.tmp"
    left.write_bytes(b"half")
    store = SqliteStore(tmp_path / "log")
    store.open()
    store.close()
    assert not left.exists()
