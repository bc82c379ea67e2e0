"""What users of the package see: members, their states, and events. Pure."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import msgspec

from gossip import limits

Address = tuple[str, int]
"""IP address as text, and port."""

PROTOCOL_MIN = 1
"""Oldest protocol that this code understands: no nacks."""
PROTOCOL_MAX = 2
"""Newest: helpers answer an indirect probe that failed (nack)."""

_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")


def valid_name(name: str) -> bool:
    """Whether a member may bear this name."""
    return len(name) <= limits.NAME_BYTES_MAX and _NAME.match(name) is not None


class State(enum.IntEnum):
    """What the failure detector believes. The order is the precedence at equal incarnation."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Status(enum.StrEnum):
    """What a member is doing, as users see it."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    LEAVING = "leaving"
    FAILED = "failed"
    LEFT = "left"


class EventKind(enum.StrEnum):
    """What an event tells."""

    JOIN = "join"
    UPDATE = "update"
    SUSPECT = "suspect"
    FAILED = "failed"
    LEFT = "left"
    REAP = "reap"
    USER = "user"
    RESYNC = "resync"


class Versions(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Protocol versions that a member understands (min to max) and speaks (current)."""

    min: int = PROTOCOL_MIN
    max: int = PROTOCOL_MAX
    current: int = PROTOCOL_MAX


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member at one moment."""

    name: str
    member_id: str = ""
    host: str
    port: int
    tags: Mapping[str, str] = {}
    status: Status = Status.ALIVE
    incarnation: int = 0
    versions: Versions = Versions()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return (self.host, self.port)


class UserEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a user of the cluster sent. Best effort: may be lost, is not repeated to one reader."""

    name: str
    payload: bytes = b""
    lamport_time: int = 0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an event stream. `member` is set for all kinds but USER and RESYNC.

    RESYNC says that the reader was too slow and events were dropped: read `members()` anew and go on.
    """

    kind: EventKind
    member: Member | None = None
    user: UserEvent | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One member's answer to a query."""

    name: str
    payload: bytes = b""


class QueryResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came back until the deadline (or until everybody asked had answered)."""

    asked: tuple[str, ...]
    """Names of the members alive and matching when the query was sent."""
    replies: tuple[Reply, ...]
    """Answers, one a member, in order of arrival."""
    acknowledged: tuple[str, ...] = ()
    """Members that said they received it, if acknowledgements were asked for."""


class JoinResult(msgspec.Struct, frozen=True, kw_only=True):
    """Which addresses were joined, and why others were not."""

    joined: tuple[str, ...]
    failures: Mapping[str, str]
