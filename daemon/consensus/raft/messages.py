"""The messages between the cores, and their bytes.

Theory: arrays with a number in front: numbers are only ever added, and a field is only ever added at the end, so that
an older server reads what it knows. A message of an unknown number is refused as a whole, not guessed.
All carry the cluster's id, sender, receiver, the sender's term, and the index of the members it goes by.
Non-goals: the chunks of a snapshot, which are the shell's; `InstallSnapshot` is handed to the core when all of them
are there. Encryption and who the sender really is: the connection's.
Pure.

Source: spec/gossip-and-raft.md 3.4 "Messages".
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from daemon.consensus.port import Entry, SnapshotMark
from daemon.consensus.raft.members import Members
from daemon.model.errors import PeerFault

#: an append may exceed its limit by one entry, which may be 16 MiB.
MESSAGE_BYTES_MAX = 20 << 20


class Message(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What every message says."""

    cluster_id: str
    sender: str
    receiver: str
    term: int
    config_index: int


class Append(Message, frozen=True, kw_only=True, array_like=True, gc=False, tag=1):
    """Entries after `prev_index`. Without entries: a probe, or word of a commit."""

    prev_index: int
    prev_term: int
    commit: int
    entries: tuple[Entry, ...] = ()


class AppendResponse(Message, frozen=True, kw_only=True, array_like=True, gc=False, tag=2):
    """The log agrees with the sender's up to `index` and is durable there; or `index` is the refused `prev_index`."""

    index: int
    is_rejected: bool = False
    #: where the two logs may agree.
    hint_index: int = 0
    hint_term: int = 0


class Heartbeat(Message, frozen=True, kw_only=True, array_like=True, gc=False, tag=3):
    """The leader lives. `commit` is never above what the receiver has acknowledged."""

    commit: int
    round: int


class HeartbeatResponse(Message, frozen=True, kw_only=True, array_like=True, gc=False, tag=4):
    """The receiver still follows in this term."""

    round: int


class VoteRequest(Message, frozen=True, kw_only=True, array_like=True, gc=False, tag=5):
    """Vote for me; or, with `is_pre`, would you: then `term` is the one that the candidate would open."""

    last_index: int
    last_term: int
    is_pre: bool = False
    #: the leader itself has asked for this election.
    is_transfer: bool = False


class VoteResponse(Message, frozen=True, kw_only=True, array_like=True, gc=False, tag=6):
    """The answer to a VoteRequest."""

    is_granted: bool
    is_pre: bool = False
    #: the asker is no member any more, by members that are committed.
    is_removed: bool = False


class TimeoutNow(Message, frozen=True, kw_only=True, array_like=True, gc=False, tag=7):
    """Stand for election at once: leadership is handed to you."""


class InstallSnapshot(Message, frozen=True, kw_only=True, array_like=True, gc=False, tag=8):
    """All chunks of a snapshot are there; it may replace the receiver's state and log."""

    mark: SnapshotMark
    members: Members
    members_index: int


AnyMessage: TypeAlias = (
    Append
    | AppendResponse
    | Heartbeat
    | HeartbeatResponse
    | VoteRequest
    | VoteResponse
    | TimeoutNow
    | InstallSnapshot
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


def encode_message(message: AnyMessage) -> bytes:
    """The bytes of a message."""
    return _encoder.encode(message)


def decode_message(data: bytes) -> AnyMessage:
    """Read a message.

    Raises: PeerFault, when it is none, too large, or of a kind that this version does not know.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise PeerFault(f"a raft message of {len(data)} bytes; at most {MESSAGE_BYTES_MAX} are taken")
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise PeerFault(f"not a raft message that this version knows: {error}") from error
