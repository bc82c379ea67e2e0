"""The log as its users see it: proposing, consumers, snapshots, restarts, bad disks."""

from __future__ import annotations

import asyncio
import subprocess
import threading

import pytest

from daemon.consensus.logstore import StoreBroken, StoreCorrupt, StoreFull
from daemon.consensus.memory_store import MemoryStore
from daemon.consensus.options import LogOptions
from daemon.consensus.port import Entry, EntryKind
from daemon.consensus.shell import Log
from daemon.consensus.sqlite_store import SqliteStore
from daemon.model.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    InvariantBroken,
    Unavailable,
)
from daemon.state.commands import ClusterInit, JobRegister, NodeRegister, Noop
from daemon.state.state import State
from tests.state.state_factory import block, job, node, plan

SMALL = LogOptions(snapshot_entries=20, snapshot_rest_s=0.0, compact_entries=7, full_pause_s=0.05)


def register(number=0, **facts):
    return JobRegister(time_ns=1, job=job(f"job-{number}"), **facts)


async def until(condition, timeout_s=10.0):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def opened():
    """Opens logs, and closes them at the end."""
    logs = []

    async def open_(*arguments, **facts):
        logs.append(await Log.open(*arguments, **facts))
        return logs[-1]

    yield open_
    for log in logs:
        await log.close()


def threads_of_logs():
    return [t.name for t in threading.enumerate() if t.name.startswith("log-")]


async def test_propose_answers_after_consumers(opened, tmp_path):
    log = await opened(tmp_path)
    heard = []
    log.attach([lambda changes: heard.append(("a", changes)), lambda changes: heard.append(("b", changes))])
    assert [(name, c.reset, c.index) for name, c in heard] == [("a", True, 1), ("b", True, 1)]
    changes = await log.propose(register())
    assert heard[2:] == [("a", changes), ("b", changes)]
    assert changes.index == 2 == log.state.index
    assert log.state.job("default", "job-0") is not None
    with pytest.raises(InvariantBroken):
        log.attach([])


async def test_what_a_command_meets_is_raised(opened):
    log = await opened(None)
    with pytest.raises(Conflict):
        await log.propose(register(enforce_index=7))
    changes = await log.propose_nowait(register(enforce_index=7))
    assert isinstance(changes.result, Conflict)


async def test_order_and_group_commit(opened, tmp_path):
    class Counting(SqliteStore):
        batches: list[int] = []

        def append(self, entries, *rest):
            super().append(entries, *rest)
            self.batches.append(len(entries))

    log = await opened(None, store=Counting(tmp_path))
    futures = [log.propose_nowait(register(n)) for n in range(300)]
    indexes = [changes.index for changes in await asyncio.gather(*futures)]
    assert indexes == list(range(2, 302))
    assert max(Counting.batches) > 100


async def test_restart_gives_the_same_state(opened, tmp_path):
    log = await opened(tmp_path)
    await log.propose(ClusterInit(time_ns=1, cluster_id="c"))
    await log.propose(NodeRegister(time_ns=2, node=node(1)))
    on = log.state.node(node(1).id)
    await log.propose(register())
    of = log.state.job("default", "job-0")
    await log.propose(plan(of, blocks=(block(list(range(50)), [on], of),)))
    before = list(log.state.snapshot().pieces())
    term = log.term
    await log.close()
    again = await opened(tmp_path)
    assert again.term == term + 1
    assert again.state.alloc_count == 50
    # the no-op of the new term is the only difference.
    twin = State.restore(before)
    twin.apply(twin.index + 1, Noop(time_ns=twin.time_ns))
    assert list(again.state.snapshot().pieces()) == list(twin.snapshot().pieces())


async def test_snapshots_cut_the_log(opened, tmp_path):
    log = await opened(tmp_path, options=SMALL)
    for number in range(100):
        await log.propose(register(number))
    await until(lambda: log.status()["first_index"] > 20)
    await log.close()
    store = SqliteStore(tmp_path)
    store.open()
    marks = store.snapshots()
    assert len(marks) == 2
    # the log still reaches back to the older of the two.
    assert store.first_index <= marks[1].index + 1
    store.close()
    again = await opened(tmp_path, options=SMALL)
    assert len(list(again.state.jobs())) == 100


async def test_a_damaged_newest_snapshot_is_passed_over(opened, tmp_path, caplog):
    log = await opened(tmp_path, options=SMALL)
    for number in range(90):
        await log.propose(register(number))
    await log.snapshot()
    await log.close()
    newest, oldest = SqliteStore(tmp_path)._snapshots.marks()
    for mark, usable in ((newest, True), (oldest, False)):
        path = SqliteStore(tmp_path)._snapshots.path(mark)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        if usable:
            again = await opened(tmp_path)
            assert len(list(again.state.jobs())) == 90
            assert "cannot be used" in caplog.text
            await again.close()
        else:
            with pytest.raises(StoreCorrupt, match=r"no snapshot can be used.*backup"):
                await opened(tmp_path)


async def test_a_poisoned_entry_is_refused_with_its_place(opened, tmp_path):
    log = await opened(tmp_path)
    await log.propose(register())
    await log.close()
    store = SqliteStore(tmp_path)
    store.open()
    poison = Entry(index=3, term=1, kind=EntryKind.COMMAND, data=b"\xc1")
    store.append([poison])
    store.close()
    with pytest.raises(StoreCorrupt, match=r"entry 3 .*log\.db cannot be applied.*not skipped.*backup"):
        await opened(tmp_path)
    assert threads_of_logs() == []


async def test_what_cannot_be_encoded_or_read_never_reaches_the_log(opened):
    log = await opened(None)
    group = job().task_groups[0]
    for bad in (
        job(meta={"a": object()}),
        job(priority="high"),
        job(task_groups=(group.tasks[0],)),
        job(priority=1 << 80),
    ):
        with pytest.raises(InvalidInput):
            await log.propose(JobRegister(time_ns=1, job=bad))
    assert log.state.index == 1
    await log.propose(register())


async def test_too_large_an_entry(opened):
    log = await opened(None, options=LogOptions(entry_bytes_max=2000))
    with pytest.raises(InvalidInput, match="split it"):
        await log.propose(JobRegister(time_ns=1, job=job(meta={"a": "x" * 3000})))


class Gate(MemoryStore):
    """A store whose disk answers when the test says so."""

    def __init__(self):
        super().__init__()
        self.free = threading.Event()
        self.free.set()
        self.errors = []

    def append(self, entries, *rest):
        assert self.free.wait(20)
        if self.errors:
            raise self.errors.pop(0)
        super().append(entries, *rest)


async def test_a_full_queue_is_busy(opened):
    store = Gate()
    log = await opened(None, store=store, options=LogOptions(queue_entries_max=5, batch_entries_max=2))
    store.free.clear()
    futures = [log.propose_nowait(register(0))]
    await until(lambda: log.status()["last_index"] == 2)  # the first is with the disk
    futures += [log.propose_nowait(register(n)) for n in range(1, 6)]
    with pytest.raises(Unavailable, match="busy") as caught:
        log.propose_nowait(register(9))
    assert caught.value.details["retry_after_s"] > 0
    store.free.set()
    assert [c.index for c in await asyncio.gather(*futures)] == list(range(2, 8))


async def test_a_slow_disk_meets_the_deadline(opened):
    store = Gate()
    log = await opened(None, store=store)
    store.free.clear()
    with pytest.raises(DeadlineExceeded, match="may still take effect"):
        await log.propose(register(), timeout_s=0.02)
    store.free.set()
    await until(lambda: log.state.job("default", "job-0") is not None)


async def test_a_full_disk_refuses_writes_and_comes_back(opened, caplog):
    store = Gate()
    log = await opened(None, store=store, options=SMALL)
    await log.propose(register(0))
    store.errors = [StoreFull("no space left for the log: free some space")]
    with pytest.raises(Unavailable, match="no space left") as caught:
        await log.propose(register(1))
    assert caught.value.details["retry_after_s"] == 0.05
    with pytest.raises(Unavailable, match="no space left"):
        log.propose_nowait(register(2))  # refused at once, without asking the disk
    assert log.status()["is_full"]
    assert log.state.job("default", "job-0") is not None
    assert log.state.job("default", "job-1") is None

    async def accepted():
        try:
            return await log.propose(register(3))
        except Unavailable:
            await asyncio.sleep(0.01)
            return None

    async with asyncio.timeout(10):
        while (changes := await accepted()) is None:
            pass
    assert changes.index == 3
    assert not log.status()["is_full"]
    assert "takes writes again" in caplog.text


@pytest.mark.root
async def test_a_full_disk_for_real(opened, tmp_path):
    place = tmp_path / "tiny"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=True)
    try:
        ballast = place / "ballast"
        ballast.write_bytes(bytes(3_000_000))
        log = await opened(place / "log", options=LogOptions(full_pause_s=0.0))
        good = 0
        with pytest.raises(Unavailable, match="no space left"):
            while True:
                await log.propose(JobRegister(time_ns=1, job=job(f"j{good}", meta={"x": "y" * 9000})))
                good += 1
        assert good > 3
        assert len(list(log.state.jobs())) == good
        ballast.unlink()
        await log.propose(register(1))
        await log.close()
        log = await opened(place / "log")
        assert len(list(log.state.jobs())) == good + 1
        await log.close()
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_failed_disk_closes_the_log_for_good(opened):
    store = Gate()
    log = await opened(None, store=store)
    await log.propose(register(0))
    store.errors = [StoreBroken("writing failed (fsync); restart this server")]
    store.free.clear()
    first = log.propose_nowait(register(1))
    await until(lambda: log.status()["last_index"] == 3)
    second = log.propose_nowait(register(2))
    store.free.set()
    for future in (first, second):
        with pytest.raises(Unavailable, match="known after a restart") as caught:
            await future
        assert caught.value.details["outcome"] == "unknown"
    assert isinstance(await asyncio.wait_for(log.wait_fault(), 5), StoreBroken)
    assert not log.is_leader
    with pytest.raises(Unavailable, match="takes no writes"):
        await log.propose(register(3))
    assert log.state.job("default", "job-0") is not None


class Faulty(State):
    """Apply that fails on one job."""

    def apply(self, index, command):
        if isinstance(command, JobRegister) and command.job.id == "job-13":
            raise ZeroDivisionError("bug")
        return super().apply(index, command)


@pytest.mark.parametrize("where", ["apply", "consumer"])
async def test_our_own_bug_stops_the_log(opened, where):
    log = await opened(None, Faulty)

    def consumer(changes):
        if where == "consumer" and changes.jobs:
            raise ZeroDivisionError("bug")

    log.attach([consumer])
    with pytest.raises(Unavailable, match="ZeroDivisionError: bug"):
        await log.propose(register(13), timeout_s=10)
    assert isinstance(log.fault, InvariantBroken)


async def test_a_snapshot_that_fails_does_not_stop_the_log(opened, caplog):
    class NoRoom(MemoryStore):
        tries = 0

        def write_snapshot(self, mark, pieces):
            self.tries += 1
            if self.tries == 1:
                raise StoreFull("no space for a snapshot")
            super().write_snapshot(mark, pieces)

    store = NoRoom()
    options = LogOptions(snapshot_entries=10, snapshot_retry_s=0.0, snapshot_rest_s=0.0)
    log = await opened(None, store=store, options=options)
    for number in range(40):
        await log.propose(register(number))
    await until(lambda: store.tries >= 2 and store.snapshots())
    assert "no space for a snapshot; next try" in caplog.text
    assert log.fault is None


async def test_reads_go_on_while_a_snapshot_is_written(opened):
    """The handle is frozen: what is applied meanwhile is not in it."""
    started, release = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def write_snapshot(self, mark, pieces):
            started.set()
            assert release.wait(20)
            super().write_snapshot(mark, pieces)

    store = Slow()
    log = await opened(None, store=store)
    await log.propose(register(0))
    taking = asyncio.create_task(log.snapshot())
    await until(started.is_set)
    await log.propose(register(1))
    release.set()
    await taking
    mark = store.snapshots()[0]
    found = State.restore(store.read_snapshot(mark))
    assert [j.id for j in found.jobs()] == ["job-0"]
    assert len(list(log.state.jobs())) == 2


async def test_close_writes_what_is_queued(tmp_path):
    log = await Log.open(tmp_path)
    futures = [log.propose_nowait(register(n)) for n in range(20)]
    await log.close()
    await log.close()
    assert [f.result().index for f in futures] == list(range(2, 22))
    with pytest.raises(Unavailable, match="closing"):
        log.propose_nowait(register(1))
    assert threads_of_logs() == []


async def test_close_does_not_wait_for_ever():
    store = Gate()
    log = await Log.open(None, store=store, options=LogOptions(close_timeout_s=0.05))
    store.free.clear()
    future = log.propose_nowait(register(1))
    await until(lambda: log.status()["last_index"] == 2)
    closing = asyncio.create_task(log.close())
    with pytest.raises(Unavailable, match="closed before"):
        await future
    store.free.set()
    await closing
    assert threads_of_logs() == []


async def test_a_disk_that_hangs_is_left_behind(caplog):
    store = Gate()
    log = await Log.open(None, store=store, options=LogOptions(close_timeout_s=0.02, release_timeout_s=0.02))
    store.free.clear()
    future = log.propose_nowait(register(1))
    await until(lambda: log.status()["last_index"] == 2)
    await log.close()
    assert "has not answered" in caplog.text
    with pytest.raises(Unavailable):
        await future
    store.free.set()
    await until(lambda: threads_of_logs() == [])


async def test_the_loop_is_not_blocked_by_the_disk(opened):
    store = Gate()
    log = await opened(None, store=store)
    store.free.clear()
    future = log.propose_nowait(register(1))
    await until(lambda: log.status()["last_index"] == 2)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not future.done()
    store.free.set()
    await future
