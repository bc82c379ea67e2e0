"""Entries of the log as they are stored, read back. Pure.

Source: architecture.md "State".
"""

from __future__ import annotations

from typing import Any

from daemon.model.base import decode
from daemon.model.errors import InvalidInput
from daemon.state import commands as c
from daemon.state.strict import decode_strict


def decode_entry(data: bytes) -> c.AnyCommand:
    """The command in a log entry's bytes.

    Raises: InvalidInput, when it is of a later version, or not an entry.
    """
    try:
        envelope = decode_strict(data, c.Envelope)
    except InvalidInput as error:
        schema = _schema_of(data)
        if schema is not None and schema > c.SCHEMA:
            raise InvalidInput(
                f"the log entry has schema {schema}, this version of encamp reads up to {c.SCHEMA}; "
                "start the version that wrote it, or a newer one",
                schema=schema,
            ) from error
        raise
    if envelope.schema > c.SCHEMA:
        raise InvalidInput(
            f"the log entry has schema {envelope.schema}, this version of encamp reads up to {c.SCHEMA}; "
            "start the version that wrote it, or a newer one",
            schema=envelope.schema,
        )
    return envelope.command


def _schema_of(data: bytes) -> int | None:
    try:
        found: Any = decode(data, object)
    except InvalidInput:
        return None
    schema = found.get("Schema") if isinstance(found, dict) else None
    return schema if isinstance(schema, int) else None
