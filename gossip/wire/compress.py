"""Compression of push/pulls, with a cap on what comes out. Pure.

Theory: zlib level 1 costs 4 us per KiB and pays only on whole tables. The output is produced piecewise up to the cap,
so a bomb costs no more than an honest frame. Packets are never compressed: they have bytes to spare.
"""

from __future__ import annotations

import zlib

from gossip import limits
from gossip.errors import DecodeError
from gossip.wire.messages import Kind

WORTH_BYTES = 1024
"""Smaller frames are sent as they are."""

_MARK = bytes([Kind.COMPRESS])


def compress(data: bytes) -> bytes:
    """The smaller of the data and its compressed form."""
    if len(data) < WORTH_BYTES:
        return data
    packed = _MARK + zlib.compress(data, 1)
    return packed if len(packed) < len(data) else data


def decompress(data: bytes, bytes_max: int = limits.STREAM_PLAIN_BYTES_MAX) -> bytes:
    """Undo `compress`. Raises: DecodeError for broken input, trailing bytes, or output above the cap."""
    if data[:1] != _MARK:
        return data
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(data[1:], bytes_max + 1)
    except zlib.error as error:
        raise DecodeError("malformed", "compressed data") from error
    if len(plain) > bytes_max:
        raise DecodeError("too_large", "decompressed data")
    if not unpacker.eof or unpacker.unused_data:
        raise DecodeError("malformed", "compressed data is cut or has a tail")
    return plain
