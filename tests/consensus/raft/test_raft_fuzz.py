"""Whatever comes in: the decoder raises PeerFault or reads a message; the core takes it or raises PeerFault."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.consensus.port import Entry, EntryKind, Role, SnapshotMark
from daemon.consensus.raft.members import Member, Members, members_of, read_members
from daemon.consensus.raft.messages import (
    MESSAGE_BYTES_MAX,
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
    decode_message,
    encode_message,
)
from daemon.model.base import encode
from daemon.model.errors import InvalidInput, PeerFault
from tests.consensus.raft.rafttable import Table

small = st.integers(0, 8)
number = st.one_of(small, small, small, st.integers(-(1 << 63), (1 << 63) - 1))
who = st.sampled_from(["a", "b", "c", "d", ""])
kind = st.sampled_from(EntryKind)
data = st.one_of(
    st.binary(max_size=8), st.just(encode(members_of("abc"))), st.just(encode(members_of("ab", "c")))
)
entry = st.builds(Entry, index=number, term=number, kind=kind, data=data)
run = st.builds(
    lambda first, terms: tuple(
        Entry(index=first + n, term=term, kind=EntryKind.COMMAND) for n, term in enumerate(sorted(terms))
    ),
    small,
    st.lists(st.integers(1, 5), max_size=4),
)
head = {
    "cluster_id": st.sampled_from(["c1", "c1", "c1", "c2"]),
    "sender": who,
    "receiver": st.sampled_from(["b", "b", "b", "a"]),
    "term": number,
    "config_index": number,
}
members = st.one_of(
    st.just(members_of("abc")),
    st.builds(
        Members, members=st.lists(st.builds(Member, id=who, is_voter=st.booleans()), max_size=4).map(tuple)
    ),
)
message = st.one_of(
    st.builds(Append, **head, prev_index=number, prev_term=number, commit=number,
              entries=st.one_of(run, st.lists(entry, max_size=3).map(tuple))),
    st.builds(AppendResponse, **head, index=number, is_rejected=st.booleans(), hint_index=number, hint_term=number),
    st.builds(Heartbeat, **head, commit=number, round=number),
    st.builds(HeartbeatResponse, **head, round=number),
    st.builds(VoteRequest, **head, last_index=number, last_term=number, is_pre=st.booleans(),
              is_transfer=st.booleans()),
    st.builds(VoteResponse, **head, is_granted=st.booleans(), is_pre=st.booleans(), is_removed=st.booleans()),
    st.builds(TimeoutNow, **head),
    st.builds(InstallSnapshot, **head, mark=st.builds(SnapshotMark, index=number, term=number), members=members,
              members_index=number),
)  # fmt: skip


def decodes_or_refuses(raw):
    try:
        known = decode_message(raw)
    except PeerFault:
        return
    assert decode_message(encode_message(known)) == known


def takes_or_refuses(messages, leads):
    """A server that gets these in turn, with its disk and clock going on, raises nothing but PeerFault."""
    table = Table("abc")
    table.checker.after = table.checker.ready = table.checker.leaving = lambda *_: None
    table.checker.truncated = table.checker.applied = lambda *_: None
    b = table.b
    if leads:
        table.elect("b")
        b.propose(b"1", b"2")
    b.is_held = False
    for message_ in messages:
        commit = b.core.commit_index
        if isinstance(message_, InstallSnapshot):
            b.received[message_.mark] = (b.disk.config, 0)
        try:
            b.core.step(message_.sender, message_)
        except PeerFault:
            continue
        b.work()
        b.tick()
        assert commit <= b.core.commit_index <= b.core.last_index
        assert b.core.role in Role


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_bytes_decode_or_are_refused(raw):
    decodes_or_refuses(raw)


@settings(max_examples=300, deadline=None)
@given(message, st.data())
def test_damaged_messages_decode_or_are_refused(message_, draw):
    try:
        raw = bytearray(encode_message(message_))
    except (OverflowError, msgspec.EncodeError):
        return
    assert decode_message(bytes(raw)) == message_
    for _ in range(draw.draw(st.integers(1, 3))):
        raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(st.integers(0, 255))
    decodes_or_refuses(bytes(raw[: draw.draw(st.integers(0, len(raw)))]))
    decodes_or_refuses(bytes(raw))


def test_messages_beyond_all_bounds_are_refused_unread():
    with pytest.raises(PeerFault, match="at most"):
        decode_message(bytes(MESSAGE_BYTES_MAX + 1))
    with pytest.raises(PeerFault):
        decode_message(b"\x91" * 100_000)  # nested without end
    with pytest.raises(PeerFault):
        decode_message(b"\xdd\xff\xff\xff\xff\x01")  # says that it has 4 billion elements


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(message, min_size=1, max_size=8), st.booleans())
def test_a_core_takes_or_refuses(messages, leads):
    takes_or_refuses(messages, leads)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=40), members.map(encode)))
def test_members_are_read_or_refused(raw):
    try:
        found = read_members(raw)
    except InvalidInput:
        return
    assert found.members


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_cases():
    settings(max_examples=100_000, deadline=None)(given(st.binary(max_size=60))(decodes_or_refuses))()
    many = settings(max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck))
    many(given(st.lists(message, min_size=1, max_size=4), st.booleans())(takes_or_refuses))()
