"""Following: what a server does with a leader's entries, heartbeats and snapshots.

Theory: entries are compared one by one and the log is cut only at the first that differs, because a late or shorter
message must not undo what a newer one brought. The commit index follows only as far as this very message has shown
the logs to agree. Every acknowledgement waits for the disk.
Pure.

Source: Raft paper 5.3, 7; spec/gossip-and-raft.md 3.4 "Follower on append".
"""

from __future__ import annotations

from daemon.consensus.port import Entry, SnapshotMark
from daemon.consensus.raft.context import Context
from daemon.consensus.raft.log import UNKNOWN
from daemon.consensus.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
)
from daemon.model.errors import PeerFault


class Following:
    """The part of a core that keeps a log like the leader's."""

    def __init__(self, context: Context) -> None:
        self._context = context
        #: a snapshot that takes the place of state and log; given out once.
        self.snapshot: SnapshotMark | None = None

    def on_append(self, message: Append) -> None:
        """Entries of the leader.

        Raises: PeerFault, when they contradict what is committed.
        """
        context = self._context
        log = context.log
        prev_index, entries = message.prev_index, message.entries
        if prev_index < context.commit_index:
            # the committed part is the same everywhere; compare what can be compared, and skip it
            self._check_committed(entries)
            entries = entries[context.commit_index - prev_index :]
            prev_index = context.commit_index
        elif not self._agrees(prev_index, message.prev_term):
            self._reject(message)
            return
        conflict = self._first_difference(entries)
        if conflict is not None:
            if conflict.index <= log.last_index:
                context.truncate(conflict.index)
            context.append(entries[conflict.index - entries[0].index :])
        last_new = prev_index + len(entries)
        context.commit_to(self._safe_commit(message.commit, last_new))
        self._acknowledge(message.sender, last_new)

    def _agrees(self, index: int, term: int) -> bool:
        """The log has this entry, of this term; then all before it is equal too."""
        return self._context.log.term(index) == term

    def _first_difference(self, entries: tuple[Entry, ...]) -> Entry | None:
        """The first entry that the log has not, or has from another term."""
        for entry in entries:
            if self._context.log.term(entry.index) != entry.term:
                return entry
        return None

    def _safe_commit(self, commit: int, last_new: int) -> int:
        """Never beyond the last entry that this message has proved equal."""
        return min(commit, last_new)

    def _check_committed(self, entries: tuple[Entry, ...]) -> None:
        context = self._context
        for entry in entries:
            if entry.index > context.commit_index:
                return
            held = context.log.term(entry.index)
            if held not in (UNKNOWN, entry.term):
                raise PeerFault(
                    f"the leader of term {context.term} sends entry {entry.index} of term {entry.term}, but that of "
                    f"term {held} is committed here; one of the two servers has lost a part of its log",
                    index=entry.index,
                )

    def _reject(self, message: Append) -> None:
        """Say where the logs may agree: the last entry here whose term is not above the refused one's."""
        context = self._context
        log = context.log
        hint = min(message.prev_index, log.last_index)
        while hint > context.commit_index and log.term(hint) > message.prev_term:
            hint -= 1
        context.send(
            AppendResponse(
                **context.head(message.sender),
                index=message.prev_index,
                is_rejected=True,
                hint_index=hint,
                hint_term=max(0, log.term(hint)),
            )
        )

    def _acknowledge(self, leader: str, index: int) -> None:
        context = self._context
        context.send_after_sync(AppendResponse(**context.head(leader), index=index))

    def on_heartbeat(self, message: Heartbeat) -> None:
        """The leader lives, and may know of a commit."""
        context = self._context
        if message.commit > context.log.last_index:
            context.retire(
                f"the leader {message.sender} has this server's word for entry {message.commit}, but its log ends at "
                f"{context.log.last_index}: its disk has lost what was on it. Remove server {context.server_id} "
                "from the cluster, and let it join with an empty data directory as a new one."
            )
            return
        context.commit_to(message.commit)
        context.send(HeartbeatResponse(**context.head(message.sender), round=message.round))

    def on_snapshot(self, message: InstallSnapshot) -> None:
        """A snapshot has come in whole. It is used only when the log cannot reach there by itself."""
        context = self._context
        mark = message.mark
        if mark.index <= context.commit_index:
            self._acknowledge(message.sender, context.commit_index)
            return
        if self._agrees(mark.index, mark.term):
            # the log has it, and perhaps acknowledged entries beyond; only the word that it is committed is new
            context.commit_to(mark.index)
            self._acknowledge(message.sender, mark.index)
            return
        context.log.reset(mark)
        context.history.reset(message.members_index, message.members)
        context.commit_to(mark.index)
        self.snapshot = mark
        self._acknowledge(message.sender, mark.index)
