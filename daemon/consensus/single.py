"""The consensus of one server: what it has on disk is committed.

Theory: the same life as a leader of many. `campaign` opens a new term with a no-op; when that is on disk, all that
the log held before is committed too. A proposal is committed when its entry is persisted.
Non-goals: other servers; a message is refused.
Pure.

Source: spec/gossip-and-raft.md 3.4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from daemon.consensus.port import Entry, EntryKind, HardState, Ready, Role
from daemon.model.errors import NotLeader, PeerFault, check


class SingleServer:
    """A core with itself as the only voter."""

    def __init__(
        self, server_id: str, hard_state: HardState, applied_index: int, last_index: int, log: Iterable[Entry]
    ) -> None:
        """`log`: what is on disk after `applied_index`, to be committed again by `campaign`."""
        self.server_id = server_id
        self.role = Role.FOLLOWER
        self.term = hard_state.term
        self.last_index = last_index
        self.commit_index = applied_index
        self._persisted = last_index
        self._applied = applied_index
        #: entries not given out as committed yet, in order. Older ones are not kept: the log has them.
        self._waiting: deque[Entry] = deque(log)
        self._unsent: list[Entry] = []
        self._hard_state: HardState | None = None
        self._reads: list[tuple[int, int]] = []

    def campaign(self) -> None:
        """Become the leader of a new term."""
        check(self.role is not Role.LEADER, "a leader does not campaign", term=self.term)
        self.term += 1
        self._hard_state = HardState(term=self.term, vote=self.server_id)
        self.role = Role.LEADER
        self._append(EntryKind.NOOP, b"")

    def tick(self) -> None:
        """Time changes nothing here."""

    def step(self, sender: str, message: Any) -> None:
        """Refuse: there is nobody else.

        Raises: PeerFault.
        """
        raise PeerFault(f"a single server got a message from {sender}: it is of another cluster", peer=sender)

    def propose(self, batch: Sequence[bytes]) -> range:
        """Append commands; the indexes they got.

        Raises: NotLeader, before `campaign`.
        """
        if self.role is not Role.LEADER:
            raise NotLeader("this server does not lead yet; try again in a moment")
        first = self.last_index + 1
        for data in batch:
            self._append(EntryKind.COMMAND, data)
        return range(first, self.last_index + 1)

    def read_index(self, context: int) -> None:
        """A read may be served once all that is committed now is applied."""
        self._reads.append((context, self.commit_index))

    def take(self) -> Ready:
        """What is to be done now."""
        committed = []
        while self._waiting and self._waiting[0].index <= self.commit_index:
            committed.append(self._waiting.popleft())
        ready = Ready(
            hard_state=self._hard_state,
            entries=tuple(self._unsent),
            committed=tuple(committed),
            reads=tuple(self._reads),
        )
        self._hard_state = None
        self._unsent = []
        self._reads = []
        return ready

    def persisted(self, index: int, term: int) -> None:
        """Entries up to this one are durable, and with that committed."""
        if term != self.term or index > self.last_index:
            return
        self._persisted = max(self._persisted, index)
        self.commit_index = max(self.commit_index, self._persisted)

    def not_persisted(self, index: int) -> None:
        """Forget the entries from here on; nobody has seen them."""
        check(
            index > self.commit_index, "committed entries stay", index=index, commit_index=self.commit_index
        )
        while self._waiting and self._waiting[-1].index >= index:
            self._waiting.pop()
        self._unsent = [entry for entry in self._unsent if entry.index < index]
        self.last_index = min(self.last_index, index - 1)

    def applied(self, index: int) -> None:
        """The state contains everything up to here."""
        check(index <= self.commit_index, "only committed entries are applied", index=index)
        self._applied = max(self._applied, index)

    def _append(self, kind: EntryKind, data: bytes) -> None:
        self.last_index += 1
        entry = Entry(index=self.last_index, term=self.term, kind=kind, data=data)
        self._waiting.append(entry)
        self._unsent.append(entry)
