"""Properties: the order of facts does not matter; queues, rings and timeouts keep their bounds for any input."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.config import Config
from gossip.core.clock import LamportClock
from gossip.core.core import Core
from gossip.core.queue import BroadcastQueue
from gossip.core.recent import Recent
from gossip.core.snapshot import Snapshot, alive_line, parse_snapshot
from gossip.core.suspicion import timeout_s
from gossip.wire import messages as m
from gossip.wire.codec import encode, encode_compound, split
from gossip.wire.envelope import Envelope
from gossip.wire.keyring import Keyring
from gossip.wire.stream import FrameReader

NAMES = ("x", "y")


def alive(name: str, incarnation: int) -> m.Alive:
    """What a member says of itself is a function of its incarnation."""
    meta = bytes([incarnation])
    return m.Alive(incarnation=incarnation, node=name, host="10.0.0.1", port=1000 + ord(name), meta=meta)


FACTS = st.builds(
    lambda kind, name, incarnation: {
        "alive": alive(name, incarnation),
        "suspect": m.Suspect(incarnation=incarnation, node=name, accuser="other"),
        "dead": m.Dead(incarnation=incarnation, node=name, accuser="other"),
        "left": m.Dead(incarnation=incarnation, node=name, accuser=name),
    }[kind],
    st.sampled_from(("alive", "suspect", "dead", "left")),
    st.sampled_from(NAMES),
    st.integers(1, 4),
)


def believe(facts: list[m.Message]) -> list[tuple[object, ...]]:
    core = Core(Config(name="me"), random.Random(1), random.Random(1).randbytes)
    core.start(0.0, ("10.0.0.9", 7946))
    for fact in facts:
        core.on_datagram(core.context.envelope.wrap(encode(fact)), ("10.0.0.8", 1), 0.0)
    core.check_invariants()
    records = core.context.table.records
    return [
        (name, records[name].incarnation, records[name].state, records[name].meta)
        for name in NAMES
        if name in records
    ]


@settings(max_examples=300, deadline=None)
@given(st.lists(FACTS, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_facts_does_not_matter(facts: list[m.Message], order: random.Random) -> None:
    shuffled = list(facts)
    order.shuffle(shuffled)
    assert believe(shuffled) == believe(facts)


@settings(max_examples=100, deadline=None)
@given(st.lists(FACTS, max_size=12))
def test_hearing_everything_twice_changes_nothing(facts: list[m.Message]) -> None:
    assert believe(facts + facts) == believe(facts)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 60)), max_size=40),
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 5)), max_size=40),
    st.integers(1, 5),
)
def test_a_queue_keeps_its_budget_and_its_limit(
    pushes: list[tuple[str, int]], takes: list[tuple[int, int]], limit: int
) -> None:
    queue, sent, ended = BroadcastQueue(depth_max=8), {}, []
    for number, (key, size) in enumerate(pushes):
        queue.push(key, bytes([number]) * size, lambda number=number: ended.append(number))
        assert len(queue) <= 8
        for budget, parts_max in takes[number : number + 1]:
            parts = queue.take(budget, parts_max, limit)
            assert len(parts) <= parts_max and sum(len(part) + 2 for part in parts) <= budget
            assert len(set(parts)) == len(parts)
            for part in parts:
                sent[part] = sent.get(part, 0) + 1
                assert sent[part] <= limit
        assert queue._order == sorted(queue._order) and len(queue._items) == len(queue._order)
    queue.clear()
    assert sorted(ended) == list(range(len(pushes)))


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0.1, 100), st.floats(1, 10))
def test_more_confirmations_never_lengthen_a_suspicion(
    confirmed: int, wanted: int, shortest: float, mult: float
) -> None:
    now, then = (timeout_s(count, wanted, shortest, mult * shortest) for count in (confirmed, confirmed + 1))
    assert shortest <= then <= now <= mult * shortest + 1e-9


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 3)), max_size=60))
def test_news_is_news_once(seen: list[tuple[int, int]]) -> None:
    clock = LamportClock()
    recent: Recent[int] = Recent(clock)
    fresh = [pair for pair in seen if recent.is_news(*pair)]
    assert len(fresh) == len(set(fresh))
    assert all(time < clock.time for time, _ in seen)


@given(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=20))
def test_compounds_give_back_their_parts(parts: list[bytes]) -> None:
    if len(parts) > 1:
        assert split(encode_compound(parts)) == (parts, 0)


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), min_size=1), st.booleans())
def test_frames_survive_any_fragmentation(data: bytes, steps: list[int], sealed: bool) -> None:
    envelope = Envelope("x", Keyring((b"k" * 16,) if sealed else ()), random.Random(1).randbytes)
    frame = envelope.wrap_frame(b"\x02" + data)
    reader, at, got, turn = FrameReader(envelope.head), 0, None, 0
    while got is None:
        step = steps[turn % len(steps)]
        got = reader.feed(frame[at : at + step])
        at, turn = at + step, turn + 1
    assert envelope.unwrap_frame(got) == (b"\x02" + data, sealed)


@given(
    st.dictionaries(st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True), st.integers(1, 65535), max_size=10),
    st.data(),
)
def test_a_snapshot_cut_anywhere_reads_as_a_prefix(ports: dict[str, int], data: st.DataObject) -> None:
    text = "".join(alive_line(name, ("10.0.0.1", port)) + "\n" for name, port in ports.items())
    cut = data.draw(st.integers(0, len(text)))
    snapshot = parse_snapshot(text[:cut].splitlines())
    assert isinstance(snapshot, Snapshot)
    whole = text[:cut].count("\n")
    expected = {name: ("10.0.0.1", port) for name, port in list(ports.items())[:whole]}
    assert expected.items() <= snapshot.members.items()
    assert len(snapshot.members) <= whole + 1
