"""Tables with worked figures: merge rules, suspicion, awareness, the broadcast queue, intervals, clocks."""

from __future__ import annotations

import itertools

import pytest

from gossip.config import LAN, LOCAL, WAN
from gossip.core.awareness import Awareness
from gossip.core.clock import LamportClock
from gossip.core.exchanging import interval_scale
from gossip.core.queue import BroadcastQueue, transmit_limit
from gossip.core.states import TRANSITIONS, Age, picture, transition
from gossip.core.suspicion import Suspicion, bounds_s, timeout_s, wanted_confirmations
from gossip.core.timers import Timers
from gossip.model import State

A, S, D, L = State.ALIVE, State.SUSPECT, State.DEAD, State.LEFT


@pytest.mark.parametrize(
    ("state", "fact", "older", "same", "newer"),
    [
        (A, A, None, None, A),
        (A, S, None, S, S),
        (A, D, None, D, D),
        (A, L, None, L, L),
        (S, A, None, None, A),
        (S, S, None, None, S),
        (S, D, None, D, D),
        (S, L, None, L, L),
        (D, A, None, None, A),
        (D, S, None, None, S),
        (D, D, None, None, D),
        (D, L, None, L, L),
        (L, A, None, None, A),
        (L, S, None, None, S),
        (L, D, None, None, D),
        (L, L, None, None, L),
    ],
)
def test_merge_rules(
    state: State, fact: State, older: State | None, same: State | None, newer: State | None
) -> None:
    assert transition(state, 5, fact, 4) is older
    assert transition(state, 5, fact, 5) is same
    assert transition(state, 5, fact, 6) is newer


def test_the_rules_are_a_lattice() -> None:
    """The table says the same as the one sentence that describes it: the larger (incarnation, state) wins."""
    for state, fact in itertools.product(State, State):
        for known, heard in ((5, 4), (5, 5), (5, 6)):
            wins = (heard, fact) > (known, state)
            assert transition(state, known, fact, heard) == (fact if wins else None)
    assert all(age is not Age.OLDER for _, _, age in TRANSITIONS)


def test_the_picture_names_every_change_of_state() -> None:
    shown = picture()
    for (before, _, _), after in TRANSITIONS.items():
        if before is not after:
            assert f"{before.name.lower()} --> {after.name.lower()}:" in shown


@pytest.mark.parametrize(
    ("timing", "members", "shortest", "longest"),
    [
        (LAN, 3, 4, 24),
        (LAN, 10, 4, 24),
        (LAN, 100, 8, 48),
        (LAN, 1000, 12, 72),
        (WAN, 10, 30, 180),
        (LOCAL, 5, 3, 18),
    ],
)
def test_suspicion_bounds(timing: object, members: int, shortest: float, longest: float) -> None:
    assert bounds_s(timing, members) == (pytest.approx(shortest), pytest.approx(longest))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mult", "members", "wanted"),
    [(4, 2, 0), (4, 3, 0), (4, 4, 2), (4, 100, 2), (6, 5, 0), (6, 6, 4), (2, 50, 0), (1, 50, 0)],
)
def test_confirmations_wanted(mult: int, members: int, wanted: int) -> None:
    assert wanted_confirmations(mult, members) == wanted


@pytest.mark.parametrize(
    ("confirmed", "wanted", "left"),
    [
        (0, 3, 30),
        (1, 3, 16),
        (2, 3, 7.810),
        (3, 3, 2),
        (4, 3, 2),
        (0, 0, 2),
        (0, 2, 30),
        (1, 2, 12.333),
        (2, 2, 2),
    ],
)
def test_suspicion_shrinks_with_the_logarithm_of_its_confirmations(
    confirmed: int, wanted: int, left: float
) -> None:
    assert timeout_s(confirmed, wanted, 2, 30) == pytest.approx(left)


def test_a_suspicion_counts_each_accuser_once() -> None:
    suspicion = Suspicion(LAN, 10, "a", now=100.0)
    assert suspicion.due_s == 124.0
    assert not suspicion.confirm("a")
    assert suspicion.confirm("b")
    assert suspicion.due_s == pytest.approx(111.381)
    assert not suspicion.confirm("b")
    assert suspicion.confirm("c")
    assert suspicion.due_s == 104.0
    assert not suspicion.confirm("d")  # two were wanted


def test_absence_does_not_count_as_silence() -> None:
    suspicion = Suspicion(LAN, 3, "a", now=100.0)
    suspicion.extend(20.0, until_s=123.0)
    assert suspicion.due_s == 124.0
    suspicion.extend(0.0, until_s=130.0)
    assert suspicion.due_s == 130.0


def test_awareness_stays_in_its_bounds() -> None:
    awareness = Awareness(8)
    awareness.change(-1)
    assert awareness.score == 0
    awareness.change(100)
    assert awareness.score == 7
    assert awareness.scale(1.5) == 12.0


@pytest.mark.parametrize(
    ("mult", "floor", "members", "limit"),
    [
        (4, 1, 3, 4),
        (4, 1, 9, 4),
        (4, 1, 10, 8),
        (4, 1, 99, 8),
        (4, 1, 100, 12),
        (4, 3, 3, 12),
        (4, 3, 1000, 16),
        (2, 1, 5, 2),
    ],
)
def test_transmit_limit(mult: int, floor: int, members: int, limit: int) -> None:
    assert transmit_limit(mult, floor, members) == limit


def test_queue_takes_the_least_sent_then_the_largest_then_the_newest() -> None:
    queue = BroadcastQueue()
    for key, data in (("a", b"a" * 10), ("b", b"b" * 30), ("c", b"c" * 10)):
        queue.push(key, data)
    assert queue.take(100, 255, 3) == [b"b" * 30, b"c" * 10, b"a" * 10]
    queue.push("d", b"d" * 5)
    assert queue.take(19, 255, 3) == [b"d" * 5, b"c" * 10]
    assert queue.take(31, 255, 3) == [b"a" * 10, b"d" * 5, b"c" * 10]
    assert queue.take(32, 255, 3) == [b"b" * 30]


def test_queue_forgets_a_message_at_its_limit() -> None:
    queue = BroadcastQueue()
    ended: list[str] = []
    queue.push("a", b"xx", lambda: ended.append("a"))
    assert [queue.take(100, 255, 2) for _ in range(3)] == [[b"xx"], [b"xx"], []]
    assert ended == ["a"] and len(queue) == 0


def test_newer_news_of_a_name_replaces_the_older() -> None:
    queue = BroadcastQueue()
    ended: list[str] = []
    queue.push("a", b"old", lambda: ended.append("old"))
    queue.push("a", b"new")
    assert queue.take(100, 255, 9) == [b"new"] and ended == ["old"]


@pytest.mark.parametrize(
    ("members", "scale"), [(1, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (1000, 6)]
)
def test_exchange_interval_grows_with_the_cluster(members: int, scale: int) -> None:
    assert interval_scale(members) == scale


def test_a_clock_ignores_absurd_times() -> None:
    clock = LamportClock()
    clock.witness(41)
    assert (clock.time, clock.increment()) == (42, 43)
    clock.witness(7)
    clock.witness(1 << 60)
    assert clock.time == 43


def test_timers_fire_in_order_of_time_then_creation() -> None:
    timers, fired = Timers(), []
    timers.at(2.0, lambda: fired.append("late"))
    cancelled = timers.at(0.5, lambda: fired.append("never"))
    timers.at(1.0, lambda: fired.append("first"))
    timers.at(1.0, lambda: fired.append("second"))
    cancelled.cancel()
    assert timers.next_s() == 1.0
    timers.fire(1.5)
    assert fired == ["first", "second"]
    for _ in range(2000):
        timers.at(3.0, lambda: None).cancel()
    assert len(timers) < 600
