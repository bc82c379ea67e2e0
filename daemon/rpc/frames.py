"""Frames of the RPC: one small header and one body. Pure.

Theory: a connection carries calls in both directions (a server calls its nodes back over the connection that
they have opened). Each call has an id that its initiator chose; `from_initiator` tells the two id spaces apart.
Streams are calls whose DATA frames need credit: a side may send as many as the other has granted.

    REQUEST -> (DATA | CREDIT | END)* <-> (DATA | CREDIT | END)* <- ANSWER or FAILURE;  CANCEL -> at any time

Source: architecture.md "RPC".
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from daemon.model.errors import EncampError, PeerFault, rebuild

#: frames a side may send before it has got more credit.
STREAM_CREDIT = 32
#: bytes in one DATA frame at most.
CHUNK_BYTES = 64 * 1024
#: bytes in any message at most: a snapshot chunk or a job of a few MB fits, a runaway does not.
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
#: raised with every incompatible change of the frames.
PROTOCOL = 1


class Kind(IntEnum):
    """What a frame is."""

    REQUEST = 1
    ANSWER = 2
    FAILURE = 3
    DATA = 4
    CREDIT = 5
    END = 6
    CANCEL = 7
    #: sign of life on idle streams, no meaning otherwise.
    PING = 8


class Header(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """First frame. `number` is the deadline in ms (REQUEST) or the credit granted (CREDIT)."""

    kind: int
    from_initiator: bool
    call_id: int
    method: str = ""
    number: int = 0
    protocol: int = PROTOCOL


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """Body of a FAILURE frame."""

    code: str
    message: str
    details: dict[str, Any] = {}


_headers = msgspec.msgpack.Decoder(Header)
_failures = msgspec.msgpack.Decoder(Failure)
_encoder = msgspec.msgpack.Encoder()
#: what hostile bytes make the decoder raise.
_UNREADABLE = (msgspec.DecodeError, ValueError, TypeError, RecursionError)


def encode_header(header: Header) -> bytes:
    """Bytes of the first frame."""
    return _encoder.encode(header)


def decode_header(data: bytes | memoryview) -> Header:
    """Read the first frame.

    Raises: PeerFault on anything that is not a header of our protocol version.
    """
    try:
        header = _headers.decode(data)
    except _UNREADABLE as error:
        raise PeerFault(f"not an encamp RPC frame: {error}") from error
    if header.protocol != PROTOCOL:
        raise PeerFault(
            f"RPC protocol {header.protocol} is spoken there, {PROTOCOL} here: upgrade the older side"
        )
    return header


def encode_failure(error: BaseException) -> bytes:
    """Body that lets the other side rebuild the error. Unexpected errors are named by their class only."""
    if isinstance(error, EncampError):
        return _encoder.encode(Failure(error.code, error.message, error.details))
    return _encoder.encode(Failure("internal", f"internal error: {type(error).__name__}: {error}"))


def decode_failure(data: bytes | memoryview) -> EncampError:
    """The error that the other side reported."""
    try:
        failure = _failures.decode(data)
    except _UNREADABLE as error:
        return PeerFault(f"the peer reported a failure that cannot be read: {error}")
    return rebuild(failure.code, failure.message, failure.details)
