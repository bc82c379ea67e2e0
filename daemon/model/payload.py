"""The payload of a dispatched job: kept compressed in the state, unpacked where its file is written. Pure.

Source: spec/scheduler.md 8.
"""

from __future__ import annotations

import zlib

from daemon.model.errors import InvalidInput

PAYLOAD_BYTES_MAX = 16 * 1024


def pack_payload(data: bytes) -> bytes:
    """The stored form; no data is stored as nothing.

    Raises: InvalidInput, when it is larger than PAYLOAD_BYTES_MAX.
    """
    if len(data) > PAYLOAD_BYTES_MAX:
        raise InvalidInput(
            f"the payload has {len(data)} bytes; a dispatch carries at most {PAYLOAD_BYTES_MAX}"
        )
    return zlib.compress(data) if data else b""


def unpack_payload(stored: bytes) -> bytes:
    """What was packed.

    Raises: InvalidInput, when it is not what `pack_payload` makes.
    """
    if not stored:
        return b""
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(stored, PAYLOAD_BYTES_MAX + 1)
    except zlib.error as error:
        raise InvalidInput(f"the stored payload cannot be unpacked: {error}") from error
    if not reader.eof or len(data) > PAYLOAD_BYTES_MAX:
        raise InvalidInput(f"the stored payload is cut off, or has more than {PAYLOAD_BYTES_MAX} bytes")
    return data
