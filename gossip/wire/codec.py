"""Messages to bytes and back: single ones, compounds, push/pulls. Pure.

Theory: a message is a type byte and a msgpack map. A compound is its type, a count (one byte), that many big-endian
u16 lengths, then the bodies. A push/pull is its type, then length-prefixed parts: the head, then one part for each
member or event; its number of entries is what is really there, never what somebody announces.
Every failure is a DecodeError, whatever the library below raises.
Source: memberlist's framing of compounds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from gossip import limits
from gossip.errors import DecodeError
from gossip.wire.messages import KINDS, Entry, Exchange, Kind, Message, UserEventMessage

_encode = msgspec.msgpack.Encoder().encode
_PREFIX = {message: bytes([kind]) for message, kind in KINDS.items()}
_DECODERS: dict[int, Callable[[Any], Message]] = {
    int(kind): msgspec.msgpack.Decoder(message).decode for message, kind in KINDS.items()
}
_decode_head = msgspec.msgpack.Decoder(Exchange).decode
_decode_entry = msgspec.msgpack.Decoder(Entry).decode
_decode_event = msgspec.msgpack.Decoder(UserEventMessage).decode

COMPOUND_BYTES = 2
"""Type and count of a compound."""
PART_BYTES = 2
"""Length of one part."""

_ENTRY, _EVENT = 0, 1
_PART = struct.Struct(">BI")

# Everything msgspec is known to raise on hostile input; RecursionError comes from deep nesting.
_FAILURES = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, TypeError, OverflowError)


def encode(message: Message) -> bytes:
    """Type byte and body."""
    return _PREFIX[type(message)] + _encode(message)


def decode(data: bytes | memoryview) -> Message:
    """One message. Raises: DecodeError."""
    if not data:
        raise DecodeError("empty")
    decoder = _DECODERS.get(data[0])
    if decoder is None:
        raise DecodeError("unknown_type", str(data[0]))
    try:
        return decoder(data[1:])
    except _FAILURES as error:
        raise DecodeError("malformed", type(error).__name__) from error


def encode_compound(parts: Sequence[bytes]) -> bytes:
    """Several messages as one; a single one stays as it is."""
    if len(parts) == 1:
        return parts[0]
    lengths = struct.pack(f">BB{len(parts)}H", Kind.COMPOUND, len(parts), *map(len, parts))
    return lengths + b"".join(parts)


def split(data: bytes) -> tuple[list[bytes], int]:
    """The messages of a packet, and how many a truncated compound has lost.

    Raises: DecodeError when not even the lengths are there.
    """
    if not data:
        raise DecodeError("empty")
    if data[0] != Kind.COMPOUND:
        return [data], 0
    if len(data) < COMPOUND_BYTES:
        raise DecodeError("malformed", "compound without count")
    count = data[1]
    at = COMPOUND_BYTES + PART_BYTES * count
    if len(data) < at:
        raise DecodeError("malformed", "compound without lengths")
    parts = []
    for length in struct.unpack_from(f">{count}H", data, COMPOUND_BYTES):
        if at + length > len(data):
            break
        parts.append(data[at : at + length])
        at += length
    return parts, count - len(parts)


def encode_exchange(head: Exchange, entries: Iterable[Entry], events: Iterable[UserEventMessage]) -> bytes:
    """A push/pull."""
    body = _encode(head)
    pieces = [bytes([Kind.PUSH_PULL]), struct.pack(">I", len(body)), body]
    for kind, items in ((_ENTRY, entries), (_EVENT, events)):
        for item in items:
            body = _encode(item)
            pieces.append(_PART.pack(kind, len(body)))
            pieces.append(body)
    return b"".join(pieces)


def decode_exchange(data: bytes) -> tuple[Exchange, list[Entry], list[UserEventMessage]]:
    """The parts of a push/pull. Raises: DecodeError."""
    if len(data) < 5 or data[0] != Kind.PUSH_PULL:
        raise DecodeError("malformed", "not a push/pull")
    (length,) = struct.unpack_from(">I", data, 1)
    if length > len(data) - 5:
        raise DecodeError("malformed", "push/pull head is cut")
    entries: list[Entry] = []
    events: list[UserEventMessage] = []
    try:
        head = _decode_head(data[5 : 5 + length])
        for kind, part in _parts(data, 5 + length):
            if len(entries) >= limits.STREAM_ENTRIES_MAX:
                raise DecodeError("too_many", "entries in a push/pull")
            if kind == _ENTRY:
                entries.append(_decode_entry(part))
            elif kind == _EVENT and len(events) < limits.EVENT_SLOTS * limits.EVENT_SLOT_ENTRIES_MAX:
                events.append(_decode_event(part))
    except _FAILURES as error:
        raise DecodeError("malformed", type(error).__name__) from error
    return head, entries, events


def _parts(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at < len(data):
        if at + _PART.size > len(data):
            raise DecodeError("malformed", "push/pull part is cut")
        kind, length = _PART.unpack_from(data, at)
        at += _PART.size
        if length > len(data) - at:
            raise DecodeError("malformed", "push/pull part is cut")
        yield kind, data[at : at + length]
        at += length
