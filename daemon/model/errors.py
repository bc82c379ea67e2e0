"""Errors, named by what the caller may do next, and their one table to codes on the wire.

The RPC layer sends (code, message, details) and the client rebuilds the class; nobody matches on text.
Pure.
"""

from __future__ import annotations

from typing import Any, ClassVar


class EncampError(Exception):
    """Root of all errors that a caller of encamp is meant to handle."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(EncampError):
    """What was sent is wrong; sending it again will not help."""

    code = "invalid"


class NotFound(EncampError):
    """No such object."""

    code = "not_found"


class Conflict(EncampError):
    """The object has changed meanwhile; read it again."""

    code = "conflict"


class NotLeader(EncampError):
    """This server does not lead; details may name the leader."""

    code = "not_leader"


class Unavailable(EncampError):
    """Not now: busy, no leader, disk full, node away. Details may hold retry_after_s."""

    code = "unavailable"


class DeadlineExceeded(EncampError):
    """No answer in time; whether it took effect is unknown."""

    code = "deadline"


class PermissionDenied(EncampError):
    """The caller may not do this."""

    code = "denied"


class PeerFault(EncampError):
    """The other side broke the protocol."""

    code = "peer_fault"


class InvariantBroken(EncampError):
    """Our own bug. The process that sees it stops using the state concerned."""

    code = "invariant"


BY_CODE: dict[str, type[EncampError]] = {
    cls.code: cls
    for cls in (
        EncampError,
        InvalidInput,
        NotFound,
        Conflict,
        NotLeader,
        Unavailable,
        DeadlineExceeded,
        PermissionDenied,
        PeerFault,
        InvariantBroken,
    )
}


def rebuild(code: str, message: str, details: dict[str, Any] | None = None) -> EncampError:
    """The error that a peer reported by its code; an unknown code becomes the root class."""
    return BY_CODE.get(code, EncampError)(message, **(details or {}))


def check(condition: bool, what: str, **facts: Any) -> None:
    """Stop when an invariant does not hold. Unlike `assert` it survives `python -O`.

    Raises: InvariantBroken with the facts.
    """
    if not condition:
        listed = ", ".join(f"{key}={value!r}" for key, value in facts.items())
        raise InvariantBroken(f"{what} ({listed})" if listed else what, **facts)
