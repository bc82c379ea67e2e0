"""The ring of changes: bounded by entries and by rows; who has fallen out of it is told."""

from __future__ import annotations

from daemon.server.ring import ChangeRing
from daemon.state.changes import Changes
from tests.state.state_factory import evaluation


def entry(index: int, rows: int) -> Changes:
    changes = Changes(index, index)
    changes.tables = ("evals",)
    changes.evals = [(None, evaluation(number)) for number in range(rows)]
    return changes


def indexes(ring: ChangeRing) -> list[int]:
    return [changes.index for changes in ring.since(0)]


def test_the_oldest_go_when_there_are_too_many_entries() -> None:
    ring = ChangeRing(size=3, rows=100)
    for index in range(1, 6):
        ring.observe(entry(index, 1))
    assert indexes(ring) == [3, 4, 5]


def test_the_oldest_go_when_there_are_too_many_rows() -> None:
    ring = ChangeRing(size=100, rows=10)
    for index in range(1, 6):
        ring.observe(entry(index, 4))
    assert indexes(ring) == [4, 5]


def test_the_newest_stays_however_large_it_is() -> None:
    ring = ChangeRing(size=100, rows=10)
    ring.observe(entry(1, 4))
    ring.observe(entry(2, 50))
    assert indexes(ring) == [2]


def test_a_reader_behind_what_has_left_is_told_and_others_are_not() -> None:
    ring = ChangeRing(size=2, rows=100)
    for index in (1, 2, 5, 9):
        ring.observe(entry(index, 1))
    assert [ring.lost(index) for index in (0, 1, 2, 5, 9)] == [False, True, False, False, False]
    ring.observe(Changes(20, 20, reset=True))
    assert not ring.lost(1) and indexes(ring) == []
