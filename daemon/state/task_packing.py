"""Task states as bytes: what an allocation's row keeps of them.

Theory: a million rows with task states as structs are 2 GB and a garbage collection of seconds. Here they are
arrays without field names, about a quarter of their size on the wire. The packed structs are made from the
real ones, so that a new field (always added at the end, with a default) needs no second place.
Pure.

Source: architecture.md "State" (task states are opaque encoded bytes).
"""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.model.base import decode, encode
from daemon.model.tasks import TaskEvent, TaskState


def _array_twin(struct: type[msgspec.Struct], **other_types: Any) -> Any:
    """The same fields, encoded as an array."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(struct):
        kind = other_types.get(field.name, field.type)
        if field.default_factory is not msgspec.NODEFAULT:
            fields.append((field.name, kind, msgspec.field(default_factory=field.default_factory)))
        elif field.default is not msgspec.NODEFAULT:
            fields.append((field.name, kind, field.default))
        else:
            fields.append((field.name, kind))
    return msgspec.defstruct(
        f"Packed{struct.__name__}", fields, frozen=True, kw_only=True, gc=False, array_like=True
    )


_EVENTS: Any = tuple.__class_getitem__((_array_twin(TaskEvent), ...))
_STATES: Any = dict.__class_getitem__((str, _array_twin(TaskState, events=_EVENTS)))


def pack_states(states: dict[str, TaskState]) -> bytes:
    """Encoded task states; empty for none."""
    return encode(msgspec.convert(states, _STATES, from_attributes=True)) if states else b""


def unpack_states(data: bytes) -> dict[str, TaskState]:
    """The task states of a row."""
    if not data:
        return {}
    return msgspec.convert(decode(data, _STATES), dict[str, TaskState], from_attributes=True)
