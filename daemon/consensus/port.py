"""The consensus port: what the shell asks of a core, and what a core tells the shell to do.

Theory: a core is sans-I/O. The shell feeds it proposals, messages, ticks, and completions; after each, `take()`
gives what is to be done: persist, send, apply. The shell does it and reports: `persisted` once entries are on
disk, `applied` once they are in the state. The shape is the one a Raft core needs, so that the single-server
core and a Raft core are interchangeable to the shell and to all users of the log.
Rules for the shell: hard state and entries of one Ready are made durable together; `messages_after_sync` leave only
then, `messages_before_sync` at once; committed entries are applied in order, whether or not the disk is still busy.
Pure.

Source: spec/gossip-and-raft.md 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Protocol

from daemon.model.base import Strict


class EntryKind(IntEnum):
    """What an entry is for."""

    #: opens a term; commits what was before it.
    NOOP = 0
    #: data is an encoded `daemon.state.commands.Envelope`.
    COMMAND = 1
    #: data is a change of the members; for cores with several servers.
    MEMBERS = 2


class Entry(Strict, frozen=True, kw_only=True, array_like=True):
    """One place in the log. Never changes."""

    index: int
    term: int
    kind: EntryKind
    data: bytes = b""


class HardState(Strict, frozen=True, kw_only=True, array_like=True):
    """What must survive a crash besides the log: the term, and whom this server voted for in it."""

    term: int = 0
    vote: str = ""


class Role(IntEnum):
    """What this server is at the moment."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2


class SnapshotMark(Strict, frozen=True, kw_only=True, array_like=True):
    """The last entry that a snapshot contains."""

    index: int
    term: int


class Ready(Strict, frozen=True, kw_only=True):
    """What is to be done now. Empty fields: nothing of that kind."""

    hard_state: HardState | None = None
    #: drop the log from here on before `entries` are appended (0: nothing is dropped).
    truncate_from: int = 0
    entries: tuple[Entry, ...] = ()
    #: a snapshot of another server replaces the state and the log.
    snapshot: SnapshotMark | None = None
    #: (receiver, message), the core's own structs.
    messages_before_sync: tuple[tuple[str, Any], ...] = ()
    messages_after_sync: tuple[tuple[str, Any], ...] = ()
    committed: tuple[Entry, ...] = ()
    #: contexts of `read_index` that may be served once this index is applied.
    reads: tuple[tuple[int, int], ...] = ()
    #: contexts of `read_index` that stay without an answer, because this server leads no more.
    lost_reads: tuple[int, ...] = ()
    #: (server, index): it needs a snapshot that reaches at least to this index.
    snapshots_wanted: tuple[tuple[str, int], ...] = ()

    @property
    def to_persist(self) -> bool:
        """True when the disk has something to do."""
        return bool(self.hard_state or self.entries or self.truncate_from or self.snapshot)


class Consensus(Protocol):
    """A core that orders entries. Not thread-safe; never blocks."""

    @property
    def role(self) -> Role:
        """What this server is now."""
        ...

    @property
    def term(self) -> int:
        """The current term."""
        ...

    @property
    def last_index(self) -> int:
        """Index of the newest entry, persisted or not."""
        ...

    @property
    def commit_index(self) -> int:
        """Index of the newest entry known to be committed."""
        ...

    def tick(self) -> None:
        """One unit of time has passed."""
        ...

    def step(self, sender: str, message: Any) -> None:
        """A message of another server came in."""
        ...

    def propose(self, batch: Sequence[bytes]) -> range:
        """Append commands; the indexes they got.

        Raises: NotLeader.
        """
        ...

    def read_index(self, context: int) -> None:
        """Ask from which index on a linearizable read may be served; answered in `Ready.reads`."""
        ...

    def take(self) -> Ready:
        """What is to be done now; each thing is given out once."""
        ...

    def persisted(self, index: int, term: int) -> None:
        """The log is durable up to this entry. An entry of another term there: a late word, ignored."""
        ...

    def not_persisted(self, index: int) -> None:
        """The disk took none of the entries from here on (it is full): forget them, or step down."""
        ...

    def applied(self, index: int) -> None:
        """The state contains everything up to here."""
        ...
