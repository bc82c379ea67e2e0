"""Base classes of all structs that travel or are stored, and the rename table between Python and the wire.

Theory: Python fields are snake_case with units last; on the wire (RPC, log, JSON) they bear Nomad's names:
`memory_mb` is `MemoryMB`, `kill_timeout_ns` is `KillTimeout` (durations are integer nanoseconds there),
`create_time_ns` is `CreateTime`. Rows are frozen and replaced, never mutated: `msgspec.structs.replace`.
Pure.

Source: spec/nomad-surface.md F3 (one rename table and typed structs serve RPC, log and HTTP alike).
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from daemon.model.errors import InvalidInput

NS_PER_S = 1_000_000_000

#: words that are not simply capitalised on the wire.
_ACRONYMS = {
    "id": "ID",
    "ids": "IDs",
    "mb": "MB",
    "cpu": "CPU",
    "ttl": "TTL",
    "ip": "IP",
    "dns": "DNS",
    "mbits": "MBits",
    "cidr": "CIDR",
    "iops": "IOPS",
    "tg": "TG",
    "http": "HTTP",
    "tls": "TLS",
    "numa": "NUMA",
    "cni": "CNI",
    "csi": "CSI",
    "ui": "UI",
    "os": "OS",
    "uid": "UID",
    "gid": "GID",
    "url": "URL",
    "dc": "DC",
    "oom": "OOM",
    "rss": "RSS",
}


def wire_name(field: str) -> str:
    """The wire's name of a Python field: PascalCase with Nomad's acronyms; a trailing `_ns` is dropped."""
    field = field.rstrip("_")
    words = field.removesuffix("_ns").split("_")
    return "".join(_ACRONYMS.get(word, word.capitalize()) for word in words)


class Wire(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename=wire_name):
    """A struct of the wire and the state: frozen, lenient about unknown fields when it is decoded."""


class Strict(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, rename=wire_name, forbid_unknown_fields=True
):
    """A struct of the log and of snapshots: an unknown field is of a newer version, and refused."""


T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def encode(value: Any) -> bytes:
    """Msgpack bytes of a struct."""
    return _encoder.encode(value)


def decode(data: bytes | memoryview, type_: type[T]) -> T:
    """Read msgpack bytes as `type_`.

    Raises: InvalidInput, naming the type and what is wrong.
    """
    decoder = _decoders.get(type_)
    if decoder is None:
        decoder = _decoders[type_] = msgspec.msgpack.Decoder(type_)
    try:
        return decoder.decode(data)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        # bytes that are no UTF-8, maps with lists for keys, and nesting without end are none of msgspec's errors.
        name = getattr(type_, "__name__", str(type_))
        raise InvalidInput(f"cannot read a {name}: {error}") from error


def to_json(value: Any, *, indent: int = 0) -> bytes:
    """JSON with the wire's names, for output to people and programs."""
    data = msgspec.json.encode(value)
    return msgspec.json.format(data, indent=indent) if indent else data
