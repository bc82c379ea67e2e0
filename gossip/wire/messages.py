"""The messages, as structs; each travels as one type byte and a msgpack map. Pure.

Theory: numbers are never reused and fields only added; unknown fields are ignored and an unknown type is skipped, so
that versions N and N-1 understand each other. No field is a list: a hostile length has nothing to allocate.
Source: memberlist's message set (0-13); our own numbers from 14 up for intents, events and queries.
"""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from gossip import limits

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.NAME_BYTES_MAX)]
MaybeName = Annotated[str, msgspec.Meta(max_length=limits.NAME_BYTES_MAX)]
Host = Annotated[str, msgspec.Meta(min_length=2, max_length=45)]
MaybeHost = Annotated[str, msgspec.Meta(max_length=45)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
MaybePort = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=0, le=limits.INCARNATION_MAX)]
Sequence = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
Version = Annotated[int, msgspec.Meta(ge=0, le=255)]
MetaBytes = Annotated[bytes, msgspec.Meta(max_length=limits.META_BYTES_MAX)]
EventName = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.QUERY_BYTES_MAX)]
Payload = Annotated[bytes, msgspec.Meta(max_length=limits.QUERY_BYTES_MAX)]


class Kind(enum.IntEnum):
    """Type bytes."""

    PING = 0
    INDIRECT_PING = 1
    ACK = 2
    SUSPECT = 3
    ALIVE = 4
    DEAD = 5
    PUSH_PULL = 6
    COMPOUND = 7
    USER_EVENT = 8
    COMPRESS = 9
    ENCRYPT = 10
    NACK = 11
    ERROR = 13
    LEAVE_INTENT = 14
    JOIN_INTENT = 15
    QUERY = 16
    QUERY_REPLY = 17
    RELAY = 18
    LABEL = 244


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of all messages."""


class Ping(Message, frozen=True, kw_only=True):
    """Are you there? `node` is who is meant; anybody else ignores it. `host` and `port`: where to answer."""

    seq: Sequence = msgspec.field(name="s")
    node: MaybeName = msgspec.field(name="n", default="")
    source: MaybeName = msgspec.field(name="f", default="")
    host: MaybeHost = msgspec.field(name="h", default="")
    port: MaybePort = msgspec.field(name="p", default=0)


class IndirectPing(Message, frozen=True, kw_only=True):
    """Please ping `node` at (`host`, `port`) for me and relay its ack, or send a nack if asked to."""

    seq: Sequence = msgspec.field(name="s")
    node: Name = msgspec.field(name="n")
    host: Host = msgspec.field(name="h")
    port: Port = msgspec.field(name="p")
    nack: bool = msgspec.field(name="k", default=False)
    source: MaybeName = msgspec.field(name="f", default="")
    source_host: MaybeHost = msgspec.field(name="a", default="")
    source_port: MaybePort = msgspec.field(name="b", default=0)


class Ack(Message, frozen=True, kw_only=True):
    """I am here."""

    seq: Sequence = msgspec.field(name="s")


class Nack(Message, frozen=True, kw_only=True):
    """I asked for you and got no answer in time."""

    seq: Sequence = msgspec.field(name="s")


class Suspect(Message, frozen=True, kw_only=True):
    """`accuser` got no answer from `node` at this incarnation."""

    incarnation: Count = msgspec.field(name="i")
    node: Name = msgspec.field(name="n")
    accuser: Name = msgspec.field(name="f")


class Dead(Message, frozen=True, kw_only=True):
    """`node` is dead, says `accuser`; if they are one, it leaves on purpose."""

    incarnation: Count = msgspec.field(name="i")
    node: Name = msgspec.field(name="n")
    accuser: Name = msgspec.field(name="f")


class Alive(Message, frozen=True, kw_only=True):
    """`node` lives at (`host`, `port`) with these encoded tags and versions."""

    incarnation: Count = msgspec.field(name="i")
    node: Name = msgspec.field(name="n")
    member_id: MaybeName = msgspec.field(name="u", default="")
    host: Host = msgspec.field(name="h")
    port: Port = msgspec.field(name="p")
    meta: MetaBytes = msgspec.field(name="m", default=b"")
    version_min: Version = msgspec.field(name="x", default=1)
    version_max: Version = msgspec.field(name="y", default=1)
    version: Version = msgspec.field(name="v", default=1)


class Entry(Alive, frozen=True, kw_only=True):
    """One member in a push/pull: an `Alive` with the sender's belief and the time of the last intent."""

    state: Annotated[int, msgspec.Meta(ge=0, le=3)] = msgspec.field(name="t", default=0)
    status_time: Count = msgspec.field(name="l", default=0)


class Exchange(Message, frozen=True, kw_only=True):
    """Head of a push/pull: who sends it, whether it joins, and the three Lamport clocks."""

    node: Name = msgspec.field(name="n")
    join: bool = msgspec.field(name="j", default=False)
    member_time: Count = msgspec.field(name="m", default=0)
    event_time: Count = msgspec.field(name="e", default=0)
    query_time: Count = msgspec.field(name="q", default=0)


class Error(Message, frozen=True, kw_only=True):
    """Reply on a stream that says why a request was refused."""

    text: Annotated[str, msgspec.Meta(max_length=1024)] = msgspec.field(name="t")


class LeaveIntent(Message, frozen=True, kw_only=True):
    """`node` is about to leave (or an operator says that it will not come back)."""

    time: Count = msgspec.field(name="l")
    node: Name = msgspec.field(name="n")


class JoinIntent(Message, frozen=True, kw_only=True):
    """`node` joins; cancels older leave intents."""

    time: Count = msgspec.field(name="l")
    node: Name = msgspec.field(name="n")


class UserEventMessage(Message, frozen=True, kw_only=True):
    """A user's event."""

    time: Count = msgspec.field(name="l")
    name: EventName = msgspec.field(name="n")
    payload: Payload = msgspec.field(name="p", default=b"")


class Query(Message, frozen=True, kw_only=True):
    """A question to everybody that matches; answers go to (`host`, `port`), and through `relays` others as well."""

    time: Count = msgspec.field(name="l")
    id: Sequence = msgspec.field(name="i")
    source: Name = msgspec.field(name="f")
    host: Host = msgspec.field(name="h")
    port: Port = msgspec.field(name="a")
    name: EventName = msgspec.field(name="n")
    payload: Payload = msgspec.field(name="p", default=b"")
    nodes: Annotated[str, msgspec.Meta(max_length=limits.QUERY_BYTES_MAX)] = msgspec.field(
        name="o", default=""
    )
    tags: MetaBytes = msgspec.field(name="t", default=b"")
    timeout_ms: Sequence = msgspec.field(name="d", default=0)
    ack: bool = msgspec.field(name="k", default=False)
    relays: Annotated[int, msgspec.Meta(ge=0, le=5)] = msgspec.field(name="r", default=0)


class QueryReply(Message, frozen=True, kw_only=True):
    """An answer, or only the acknowledgement, to query (`time`, `id`)."""

    time: Count = msgspec.field(name="l")
    id: Sequence = msgspec.field(name="i")
    source: Name = msgspec.field(name="f")
    ack: bool = msgspec.field(name="k", default=False)
    payload: Payload = msgspec.field(name="p", default=b"")


class Relay(Message, frozen=True, kw_only=True):
    """Please pass this encoded query reply on to (`host`, `port`)."""

    host: Host = msgspec.field(name="h")
    port: Port = msgspec.field(name="p")
    body: Annotated[bytes, msgspec.Meta(max_length=limits.PACKET_BYTES_MAX)] = msgspec.field(name="b")


KINDS: dict[type[Message], Kind] = {
    Ping: Kind.PING,
    IndirectPing: Kind.INDIRECT_PING,
    Ack: Kind.ACK,
    Suspect: Kind.SUSPECT,
    Alive: Kind.ALIVE,
    Dead: Kind.DEAD,
    UserEventMessage: Kind.USER_EVENT,
    Nack: Kind.NACK,
    Error: Kind.ERROR,
    LeaveIntent: Kind.LEAVE_INTENT,
    JoinIntent: Kind.JOIN_INTENT,
    Query: Kind.QUERY,
    QueryReply: Kind.QUERY_REPLY,
    Relay: Kind.RELAY,
}
"""Messages that travel alone; a push/pull has its own frame (see codec.py)."""
