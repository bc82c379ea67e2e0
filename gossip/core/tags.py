"""Tags to the bytes that an `alive` message carries, and back. Pure.

Theory: a marker byte, then a msgpack map of text to text, at most 512 bytes. Anything else reads as no tags: meta of
another application must not break membership.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import msgspec

from gossip import limits
from gossip.errors import TooLarge

_MARK = b"\xff"
_decode = msgspec.msgpack.Decoder(dict[str, str]).decode
_NONE: Mapping[str, str] = MappingProxyType({})


def encode_tags(tags: Mapping[str, str]) -> bytes:
    """The meta bytes, keys sorted. Raises: TooLarge."""
    if not tags:
        return b""
    data = _MARK + msgspec.msgpack.encode(dict(sorted(tags.items())))
    if len(data) > limits.META_BYTES_MAX:
        raise TooLarge(f"tags take {len(data)} bytes encoded; at most {limits.META_BYTES_MAX} fit")
    return data


@lru_cache(maxsize=4096)
def decode_tags(meta: bytes) -> Mapping[str, str]:
    """The tags, read-only."""
    if not meta.startswith(_MARK):
        return _NONE
    try:
        return MappingProxyType(_decode(meta[1:]))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return _NONE
