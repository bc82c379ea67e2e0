"""The contract kit of log stores, run on every implementation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.consensus.logstore import StoreBroken
from daemon.consensus.memory_store import MemoryStore
from daemon.consensus.port import Entry, EntryKind, HardState, SnapshotMark
from daemon.consensus.sqlite_store import SqliteStore


def entries(first, count, term=1, size=10):
    return [
        Entry(index=n, term=term, kind=EntryKind.COMMAND, data=bytes([n % 251]) * size)
        for n in range(first, first + count)
    ]


class MemoryPlace:
    """Opens the same memory again."""

    def __init__(self, _):
        self.store = MemoryStore()

    def open(self):
        self.store.open()
        return self.store


class SqlitePlace:
    """Opens the same directory again."""

    def __init__(self, directory):
        self.directory = directory

    def open(self):
        store = SqliteStore(self.directory / "log")
        store.open()
        return store


@pytest.fixture(params=[MemoryPlace, SqlitePlace])
def place(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture
def reopened(place):
    """Opens a store, and closes it again however the test ends."""
    opened = []

    def again():
        if opened:
            opened.pop().close()
        opened.append(place.open())
        return opened[0]

    yield again
    for store in opened:
        store.close()


def test_a_new_store_is_empty(reopened):
    store = reopened()
    assert (store.first_index, store.last_index, store.hard_state) == (1, 0, HardState())
    assert store.slice(1, 10) == []
    assert store.term(0) == 0
    assert store.snapshots() == []


def test_entries_and_hard_state_survive(reopened):
    store = reopened()
    store.append(entries(1, 3), HardState(term=1, vote="me"))
    store.append(entries(4, 2, term=2))
    store = reopened()
    assert (store.first_index, store.last_index) == (1, 5)
    assert store.hard_state == HardState(term=1, vote="me")
    assert store.slice(1, 9) == entries(1, 3) + entries(4, 2, term=2)
    assert [store.term(n) for n in (0, 1, 4, 5, 6)] == [0, 1, 2, 2, 0]


def test_hard_state_alone(reopened):
    reopened().append((), HardState(term=7))
    assert reopened().hard_state == HardState(term=7)


def test_slices_are_bounded_by_bytes(reopened):
    store = reopened()
    store.append(entries(1, 10, size=100))
    assert [e.index for e in store.slice(2, 9, 350)] == [2, 3, 4]
    assert [e.index for e in store.slice(2, 9, 1)] == [2]
    assert [e.index for e in store.slice(9, 99)] == [9, 10]


def test_truncation_and_new_entries_are_one_step(reopened):
    store = reopened()
    store.append(entries(1, 5))
    store.append(entries(3, 1, term=2), HardState(term=2), truncate_from=3)
    store = reopened()
    assert store.last_index == 3
    assert store.slice(1, 9) == entries(1, 2) + entries(3, 1, term=2)
    store.append((), truncate_from=2)
    assert reopened().last_index == 1


@pytest.mark.parametrize("first", [1, 4, 7, 9])
def test_gaps_are_never_written(reopened, first):
    store = reopened()
    store.append(entries(1, 5))
    if first == 4:
        store.append(entries(4, 1, term=3), truncate_from=4)
        return
    with pytest.raises(StoreBroken, match="cannot follow"):
        store.append(entries(first, 2))
    assert reopened().last_index == 5


def test_compaction(reopened):
    store = reopened()
    store.append(entries(1, 6, term=4))
    store.compact(4)
    store.compact(2)
    store = reopened()
    assert (store.first_index, store.last_index, store.term(4), store.term(3)) == (5, 6, 4, 0)
    assert [e.index for e in store.slice(1, 9)] == [5, 6]
    with pytest.raises(StoreBroken):
        store.append(entries(3, 1), truncate_from=3)
    store.compact(99)
    store = reopened()
    assert (store.first_index, store.last_index, store.term(6)) == (7, 6, 4)
    store.append(entries(7, 1))
    assert reopened().slice(1, 9) == entries(7, 1)


def test_two_snapshots_are_kept(reopened):
    store = reopened()
    marks = [SnapshotMark(index=n, term=1) for n in (3, 8, 12)]
    for mark in marks:
        store.write_snapshot(mark, [b"head", b"", b"x" * 100_000, str(mark.index).encode()])
    store = reopened()
    assert store.snapshots() == [marks[2], marks[1]]
    assert list(store.read_snapshot(marks[1])) == [b"head", b"", b"x" * 100_000, b"8"]


def test_a_snapshot_that_fails_leaves_nothing(reopened):
    store = reopened()

    def dying():
        yield b"head"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write_snapshot(SnapshotMark(index=3, term=1), dying())
    assert store.snapshots() == []
    assert reopened().snapshots() == []


def test_close_twice(place):
    store = place.open()
    store.close()
    store.close()


operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 5), st.integers(0, 3)),
        st.tuples(st.just("truncate"), st.integers(0, 6), st.integers(0, 3)),
        st.tuples(st.just("compact"), st.integers(0, 12), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(steps=operations)
def test_the_disk_agrees_with_memory(tmp_path_factory, steps):
    """The memory store is the oracle for the other."""
    memory, disk = MemoryPlace(None), SqlitePlace(tmp_path_factory.mktemp("oracle"))
    stores = [memory.open(), disk.open()]
    try:
        for term, (kind, number, extra) in enumerate(steps, 1):
            if kind == "reopen":
                stores[1].close()
                stores[1] = disk.open()
            for store in stores:
                if kind == "append":
                    store.append(entries(store.last_index + 1, number, term), HardState(term=term))
                elif kind == "truncate":
                    start = max(store.first_index, store.last_index + 1 - number)
                    store.append(entries(start, extra, term), truncate_from=start)
                elif kind == "compact":
                    store.compact(number)
            views = [
                (s.first_index, s.last_index, s.hard_state, s.slice(1, 999), s.term(s.first_index - 1))
                for s in stores
            ]
            assert views[0] == views[1]
    finally:
        for store in stores:
            store.close()
