"""Strict decoding of log entries and snapshot rows: what is not understood is refused, never dropped.

Theory: the structs of the wire are lenient, because RPC and HTTP input may be of a newer version. In the log,
a field that is silently dropped would make two servers' states differ. Bytes of our own version encode again to
the same bytes, which is quick to check; when they do not, the difference is looked for: fields that an older
version did not write are fine, unknown ones are not.
Pure.

Source: architecture.md "State" (apply is deterministic).
"""

from __future__ import annotations

from typing import Any, TypeVar

from daemon.model.base import decode, encode
from daemon.model.errors import InvalidInput

T = TypeVar("T")


def decode_strict(data: bytes, type_: type[T]) -> T:
    """Read msgpack bytes as `type_`.

    Raises: InvalidInput, naming the first field that is unknown.
    """
    value = decode(data, type_)
    again = encode(value)
    if again != data:
        unknown = _unknown(decode(data, object), decode(again, object), "")
        if unknown:
            name = getattr(type_, "__name__", str(type_))
            raise InvalidInput(f"a {name} has what this version does not know: {unknown}", field=unknown)
    return value


def _unknown(stored: Any, known: Any, path: str) -> str:
    """Path of the first thing in `stored` that `known` lacks, or ""."""
    if isinstance(stored, dict) and isinstance(known, dict):
        for key, value in stored.items():
            if key not in known:
                return f"{path}.{key}"
            found = _unknown(value, known[key], f"{path}.{key}")
            if found:
                return found
        return ""
    if isinstance(stored, list) and isinstance(known, list):
        if len(stored) > len(known):
            return f"{path}[{len(known)}]"
        for number, (value, other) in enumerate(zip(stored, known, strict=False)):
            found = _unknown(value, other, f"{path}[{number}]")
            if found:
                return found
        return ""
    return "" if stored == known else path
