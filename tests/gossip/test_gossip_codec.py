"""Bytes: round trips, envelopes, keys, frames, and hostile input of every kind (trap 26)."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
import zlib

import pytest

from gossip import limits
from gossip.config import Config
from gossip.core.core import Core
from gossip.core.keys import KeyAnswer, judge
from gossip.core.snapshot import parse_snapshot
from gossip.core.tags import decode_tags, encode_tags
from gossip.errors import DecodeError, KeyringError, TooLarge
from gossip.model import QueryResult, Reply
from gossip.wire import messages as m
from gossip.wire.codec import decode, decode_exchange, encode, encode_compound, encode_exchange, split
from gossip.wire.compress import compress, decompress
from gossip.wire.envelope import Envelope
from gossip.wire.keyring import Keyring, keys_from_json, keys_to_json
from gossip.wire.stream import FrameReader

KEY, OTHER = b"k" * 32, b"o" * 16

EXAMPLES: list[m.Message] = [
    m.Ping(seq=1, node="a", source="b", host="10.0.0.1", port=7946),
    m.IndirectPing(
        seq=2, node="a", host="10.0.0.1", port=1, nack=True, source="b", source_host="::1", source_port=9
    ),
    m.Ack(seq=0xFFFFFFFF),
    m.Nack(seq=0),
    m.Suspect(incarnation=3, node="a", accuser="b"),
    m.Dead(incarnation=limits.INCARNATION_MAX, node="a", accuser="a"),
    m.Alive(
        incarnation=1,
        node="a",
        member_id="u",
        host="::1",
        port=65535,
        meta=b"\xff" * 512,
        version_max=2,
        version=2,
    ),
    m.JoinIntent(time=5, node="a"),
    m.LeaveIntent(time=6, node="a"),
    m.UserEventMessage(time=7, name="deploy", payload=b"x" * 500),
    m.Query(
        time=8,
        id=9,
        source="a",
        host="10.0.0.1",
        port=1,
        name="who",
        nodes="a,b",
        tags=encode_tags({"k": "v"}),
    ),
    m.QueryReply(time=8, id=9, source="b", payload=b"me"),
    m.Relay(host="10.0.0.1", port=1, body=b"body"),
    m.Error(text="no"),
]


def envelope(key: bytes = b"", label: str = "blue", **switches: bool) -> Envelope:
    return Envelope(label, Keyring((key,) if key else ()), os.urandom, **switches)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_messages_survive_the_wire(message: m.Message) -> None:
    assert decode(encode(message)) == message


def test_type_bytes_are_as_published() -> None:
    assert {kind.name: int(kind) for kind in m.Kind} == {
        "PING": 0, "INDIRECT_PING": 1, "ACK": 2, "SUSPECT": 3, "ALIVE": 4, "DEAD": 5, "PUSH_PULL": 6, "COMPOUND": 7,
        "USER_EVENT": 8, "COMPRESS": 9, "ENCRYPT": 10, "NACK": 11, "ERROR": 13, "LEAVE_INTENT": 14, "JOIN_INTENT": 15,
        "QUERY": 16, "QUERY_REPLY": 17, "RELAY": 18, "LABEL": 244,
    }  # fmt: skip


def test_unknown_fields_are_ignored_and_unknown_types_are_named() -> None:
    assert decode(b"\x02\x82\xa1s\x05\xa3new\x93\x01\x02\x03") == m.Ack(seq=5)
    with pytest.raises(DecodeError) as caught:
        decode(b"\x63\x80")
    assert caught.value.reason == "unknown_type"


def test_a_compound_keeps_its_parts_and_counts_what_was_cut() -> None:
    parts = [encode(message) for message in EXAMPLES]
    packed = encode_compound(parts)
    assert split(packed) == (parts, 0)
    assert split(packed[:-1]) == (parts[:-1], 1)
    assert encode_compound(parts[:1]) == parts[0]


def test_an_exchange_survives_compression_and_encryption() -> None:
    head = m.Exchange(node="a", join=True, member_time=4)
    entries = [m.Entry(incarnation=n, node=f"n{n}", host="10.0.0.1", port=1, state=n % 4) for n in range(500)]
    events = [m.UserEventMessage(time=1, name="e")]
    wrapper = envelope(KEY)
    frame = wrapper.wrap_frame(encode_exchange(head, entries, events), packed=True)
    assert len(frame) < 8000
    plain, sealed = wrapper.unwrap_frame(frame)
    assert sealed and decode_exchange(plain) == (head, entries, events)


def test_a_key_opens_only_its_own_label() -> None:
    packet = envelope(KEY, "blue").wrap(b"\x02\x81\xa1s\x05")
    assert envelope(KEY, "blue").unwrap(packet) == (b"\x02\x81\xa1s\x05", True)
    forged = envelope(KEY, "gold").head + packet[len(envelope(KEY, "blue").head) :]
    with pytest.raises(DecodeError, match="no_key"):
        envelope(KEY, "gold").unwrap(forged)


@pytest.mark.parametrize(
    ("sender", "receiver", "reason"),
    [
        (envelope(OTHER), envelope(KEY), "no_key"),
        (envelope(), envelope(KEY), "clear"),
        (envelope(KEY), envelope(), "no_key"),
        (envelope(label="gold"), envelope(), "label"),
        (envelope(label="bluebell"), envelope(), "label"),
        (envelope(label=""), envelope(), "label"),
        (envelope(), envelope(label=""), "label"),
    ],
)
def test_what_does_not_belong_here_is_refused(sender: Envelope, receiver: Envelope, reason: str) -> None:
    for wrapped, unwrap in (
        (sender.wrap(encode(m.Ack(seq=1))), receiver.unwrap),
        (sender.wrap_frame(encode(m.Ack(seq=1))), receiver.unwrap_frame),
    ):
        with pytest.raises(DecodeError) as caught:
            unwrap(wrapped)
        assert caught.value.reason == reason


def test_encryption_can_be_turned_on_in_a_running_cluster() -> None:
    """Three rounds: keys with both switches off, then outgoing on, then incoming on; each meets its neighbours."""
    none = envelope()
    both_off = envelope(KEY, verify_incoming=False, verify_outgoing=False)
    outgoing = envelope(KEY, verify_incoming=False)
    strict = envelope(KEY)
    for first, second in ((none, both_off), (both_off, outgoing), (outgoing, strict)):
        for sender, receiver in ((first, second), (second, first)):
            assert receiver.unwrap(sender.wrap(b"\x02\x80"))[0] == b"\x02\x80"


def test_every_changed_bit_is_noticed() -> None:
    wrapper = envelope(KEY)
    for data, unwrap in (
        (wrapper.wrap(b"hello"), wrapper.unwrap),
        (wrapper.wrap_frame(b"hello"), wrapper.unwrap_frame),
    ):
        for place in range(len(data) * 8):
            forged = bytearray(data)
            forged[place // 8] ^= 1 << (place % 8)
            with pytest.raises(DecodeError):
                unwrap(bytes(forged))


def test_keyring_order_and_errors() -> None:
    ring = Keyring((KEY,))
    ring.install(OTHER)
    ring.install(OTHER)
    assert ring.keys == (KEY, OTHER)
    sealed = Keyring((OTHER,)).seal(b"x", b"n" * 12, b"")
    assert ring.open(sealed, b"") == b"x" and ring.opened_by == [0, 1]
    with pytest.raises(KeyringError, match="primary"):
        ring.remove(KEY)
    ring.use(OTHER)
    ring.remove(KEY)
    ring.remove(KEY)
    assert ring.keys == (OTHER,) and ring.opened_by == [1]
    for wrong in (b"", b"x" * 15, b"x" * 33):
        with pytest.raises(KeyringError):
            ring.install(wrong)
    with pytest.raises(KeyringError):
        ring.use(KEY)
    for number in range(15):
        ring.install(bytes([number]) * 16)
    with pytest.raises(KeyringError, match="remove one"):
        ring.install(b"z" * 16)


def test_keyring_files() -> None:
    assert keys_from_json(keys_to_json((KEY, OTHER))) == (KEY, OTHER)
    for wrong in (b"", b"{}", b"[]", b'["x"]', b"[1]", b'["QUJD"]', b"\xff"):
        with pytest.raises(KeyringError):
            keys_from_json(wrong)


def test_answers_to_key_queries_are_judged() -> None:
    import msgspec

    good = msgspec.msgpack.encode(KeyAnswer(keys=("f",)))
    bad = msgspec.msgpack.encode(KeyAnswer(error="disk full"))
    replies = (Reply(name="a", payload=good), Reply(name="b", payload=bad), Reply(name="c", payload=b"\xc1"))
    answers, missing = judge(QueryResult(asked=("a", "b", "c", "d"), replies=replies))
    assert answers["a"].keys == ("f",)
    assert missing == {"b": "disk full", "c": "an answer that is not understood", "d": "no answer"}


def test_tags_have_a_bound_and_foreign_meta_reads_as_none() -> None:
    assert dict(decode_tags(encode_tags({"b": "2", "a": "1"}))) == {"a": "1", "b": "2"}
    with pytest.raises(TooLarge):
        encode_tags({"k": "v" * 510})
    for meta in (
        b"",
        b"\xff",
        b"\xff\xc1",
        b"other",
        b"\xff\x91\x01",
        b"\xff\x81\xa1k\x05",
        b"\xff" + b"\x91" * 500,
    ):
        assert dict(decode_tags(meta)) == {}


def test_snapshot_lines_survive_damage() -> None:
    lines = [
        "alive: a 10.0.0.1 1",
        "alive: b 10.0.0.2 2",
        "not-alive: a",
        "clock: 9",
        "clock: x",
        "alive: c",
        "zzz",
        "alive: d 1 ²",
    ]
    snapshot = parse_snapshot(lines)
    assert snapshot.members == {"b": ("10.0.0.2", 2)} and snapshot.member_time == 9 and snapshot.skipped == 4
    assert parse_snapshot([*lines, "leave"]).members == {}
    assert parse_snapshot([*lines, "leave"], after_leave=True).members == {"b": ("10.0.0.2", 2)}
    assert not parse_snapshot([*lines, "leave", "alive: b 10.0.0.2 2"]).left


# ---- trap 26: hostile input


def test_trap_26_bombs_and_lies_cost_nothing() -> None:
    bomb = b"\x09" + zlib.compress(b"\x00" * (64 * 1024 * 1024), 9)
    lies = [
        b"\x04\xdf\xff\xff\xff\xff",
        b"\x04\x81\xa1m\xc6\xff\xff\xff\xff",
        b"\x04\x81\xa1x\xdd\xff\xff\xff\xff",
        b"\x04\x81\xa1z" + b"\x91" * 1300,
        b"\x04\x81\xa1z" + b"\x81\xa0" * 600,
        b"\x04\x81\xa1n\xa1\xff",
        b"\x07\xff",
        b"\x07",
        b"",
    ]
    tracemalloc.start()
    for data in lies:
        with pytest.raises(DecodeError):
            for part in split(data)[0]:
                decode(part)
    for data in (
        b"\x06\xff\xff\xff\xff",
        b"\x06" + struct.pack(">I", 2) + b"\x80\x80",
        b"\x06\x00\x00\x00\x01\x80\x00\xff",
    ):
        with pytest.raises(DecodeError):
            decode_exchange(data)
    peak_small = tracemalloc.get_traced_memory()[1]
    with pytest.raises(DecodeError, match="too_large"):
        decompress(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_small < 1_000_000
    assert peak < 3 * limits.STREAM_PLAIN_BYTES_MAX


def test_trap_26_a_compressed_tail_or_cut_is_refused() -> None:
    packed = compress(b"abc" * 1000)
    assert decompress(packed) == b"abc" * 1000
    for broken in (packed + b"x", packed[:-1], packed[:5], b"\x09"):
        with pytest.raises(DecodeError):
            decompress(broken)


def test_trap_26_a_stream_reader_trusts_no_header() -> None:
    wrapper = envelope(KEY)
    head = wrapper.head
    for data in (b"GET / HTTP/1.1", head + b"\x63", head + b"\x0a\xff\xff\xff\xff", head + b"\xf4"):
        with pytest.raises(DecodeError):
            FrameReader(head).feed(data)
    reader = FrameReader(head)
    assert reader.feed(head + b"\x0a\x01\x00\x00\x00") is None  # claims 16 MiB
    assert reader.buffered_bytes < 100
    frame = wrapper.wrap_frame(b"x" * 1000)
    reader = FrameReader(head)
    assert [reader.feed(frame[i : i + 1]) for i in range(len(frame))] == [None] * (len(frame) - 1) + [frame]
    with pytest.raises(DecodeError):
        FrameReader(head).feed(frame + b"x")


def mangled(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat, splice or invent."""
    kind = rng.randrange(6)
    if kind == 0 or not data:
        return rng.randbytes(rng.randrange(0, 1500))
    buffer = bytearray(data)
    if kind == 1:
        for _ in range(rng.randrange(1, 8)):
            buffer[rng.randrange(len(buffer))] = rng.randrange(256)
    elif kind == 2:
        del buffer[rng.randrange(len(buffer)) :]
    elif kind == 3:
        place = rng.randrange(len(buffer))
        buffer[place:place] = rng.randbytes(rng.randrange(1, 20))
    elif kind == 4:
        place = rng.randrange(len(buffer))
        buffer[place : place + 5] = b"\xdf\xff\xff\xff\xff"
    else:
        buffer += buffer[rng.randrange(len(buffer)) :]
    return bytes(buffer)


@pytest.mark.parametrize("cases", [4000, pytest.param(100_000, marks=pytest.mark.long)])
def test_trap_26_fuzzed_decoders_raise_one_error(cases: int) -> None:
    rng = random.Random(26)
    seeds = [encode(message) for message in EXAMPLES]
    seeds.append(encode_compound(seeds[:5]))
    exchange = encode_exchange(
        m.Exchange(node="a"), [m.Entry(incarnation=1, node="b", host="::1", port=1)], []
    )
    clear = envelope()
    tracemalloc.start()
    for _ in range(cases):
        data = mangled(rng, rng.choice(seeds))
        try:
            for part in split(data)[0]:
                assert isinstance(decode(part), m.Message)
        except DecodeError:
            pass
        for call, source in (
            (decode_exchange, exchange),
            (clear.unwrap_frame, clear.wrap_frame(exchange)),
            (clear.unwrap, clear.wrap(data[:1000])),
            (decompress, compress(exchange * 20)),
        ):
            try:
                call(mangled(rng, source))
            except DecodeError:
                pass
    assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    tracemalloc.stop()


@pytest.mark.parametrize("cases", [3000, pytest.param(100_000, marks=pytest.mark.long)])
def test_trap_26_fuzzed_streams_stay_bounded(cases: int) -> None:
    rng = random.Random(27)
    wrapper = envelope(KEY)
    frame = wrapper.wrap_frame(b"x" * 200)
    for _ in range(cases):
        data = mangled(rng, frame)
        reader = FrameReader(wrapper.head)
        fed = 0
        try:
            while fed < len(data):
                step = rng.randrange(1, 400)
                got = reader.feed(data[fed : fed + step])
                fed += step
                if got is not None:
                    if data[: len(frame)] != frame:
                        with pytest.raises(DecodeError):
                            wrapper.unwrap_frame(got)
                    break
        except DecodeError:
            pass
        assert reader.buffered_bytes <= len(data)


@pytest.mark.parametrize("cases", [3000, pytest.param(100_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("keys", [(), (KEY,)])
def test_trap_26_a_core_survives_anything(cases: int, keys: tuple[bytes, ...]) -> None:
    """Never raises; with a key it believes nothing, answers nothing and lets no forgery through."""
    rng = random.Random(28)
    core = Core(Config(name="me", label="blue", keys=keys), random.Random(1), random.Random(2).randbytes)
    core.start(0.0, ("10.0.0.9", 7946))
    clear, other = envelope(), envelope(OTHER)
    seeds = [wrapper.wrap(encode(message)) for message in EXAMPLES for wrapper in (clear, other)]
    exchange = encode_exchange(
        m.Exchange(node="a"), [m.Entry(incarnation=1, node="b", host="::1", port=1)], []
    )
    frames = [clear.wrap_frame(exchange), other.wrap_frame(exchange)]
    now = 0.0
    for number in range(cases):
        now += 0.001
        data = rng.choice(seeds) if number % 3 == 0 else mangled(rng, rng.choice(seeds))
        actions = core.on_datagram(data, ("10.9.9.9", 1), now)
        frame = rng.choice(frames) if number % 3 == 0 else mangled(rng, rng.choice(frames))
        replies = core.on_stream_request(number, frame, ("10.9.9.9", 1), now)
        if keys:
            assert actions == []
            assert [reply.data for reply in replies] == [None]  # type: ignore[attr-defined]
        if number % 50 == 0:
            core.tick(now)
            core.check_invariants()
    assert len(core.context.table.records) < limits.TOMBSTONES_MAX
    assert sum(core.metrics().decode_errors.values()) > cases // 3
    if keys:
        assert [member.name for member in core.members()] == ["me"]
