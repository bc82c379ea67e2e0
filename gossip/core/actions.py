"""What the core asks its shell to do, in order. Pure."""

from __future__ import annotations

import msgspec

from gossip.model import Address, Event, QueryResult


class Action(msgspec.Struct, frozen=True, gc=False):
    """Base of all actions."""


class Send(Action, frozen=True):
    """Send one packet."""

    address: Address
    data: bytes


class OpenStream(Action, frozen=True):
    """Connect, send one frame, read one frame; report through `on_stream_result(op, ...)` before the timeout."""

    op: int
    address: Address
    data: bytes
    timeout_s: float


class StreamReply(Action, frozen=True):
    """Answer an inbound stream and close it; None: close it without a word."""

    stream: int
    data: bytes | None


class Emit(Action, frozen=True, gc=True):
    """Tell every event reader."""

    event: Event


class Persist(Action, frozen=True):
    """Append a line to the snapshot, if there is one. `sync`: on disk before going on."""

    line: str
    sync: bool = False


class SaveKeys(Action, frozen=True):
    """Keep the keyring's keys, then report through `keys_saved(handle, ...)`."""

    handle: int
    keys: tuple[bytes, ...]


class Asked(Action, frozen=True):
    """A query for the application: call its handler and report through `answer(handle, payload)`."""

    handle: int
    name: str
    payload: bytes
    source: str


class JoinDone(Action, frozen=True):
    """An attempt to join ended; `error` is empty on success."""

    op: int
    error: str


class QueryDone(Action, frozen=True, gc=True):
    """An own query ended."""

    op: int
    result: QueryResult


class Stopped(Action, frozen=True):
    """The leave is complete: stop the shell."""


class Notice(Action, frozen=True):
    """Something for the log. `kind` is a fixed word, `member` whom it is about."""

    kind: str
    member: str
    text: str
