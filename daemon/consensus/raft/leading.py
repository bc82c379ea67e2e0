"""Leading: replication to the others, and what is committed.

Theory: proposals are appended in memory; `flush`, once a turn of the shell, sends what is new to everybody whose
window has room, before the leader's own disk has it. The leader counts itself only for what its own disk has. An
entry is committed by counting only when it is of the leader's own term; older ones with it. A follower that lags
hears of commits by an empty append, so that its state follows without waiting for a heartbeat.
A leader that has not heard a quorum of voters for an election timeout stops leading.
Pure.

Source: Raft paper 5.3, 5.4.2; thesis 6.2, 10.2; spec/gossip-and-raft.md 3.4 "Leader", "Commit".
"""

from __future__ import annotations

from daemon.consensus.port import Entry, EntryKind, Role
from daemon.consensus.raft.context import Context
from daemon.consensus.raft.log import UNKNOWN
from daemon.consensus.raft.messages import Append, AppendResponse, Heartbeat, HeartbeatResponse
from daemon.consensus.raft.progress import Progress, ProgressState
from daemon.consensus.raft.reads import Reads


class Leading:
    """The part of a core that is awake while it leads."""

    def __init__(self, context: Context, reads: Reads) -> None:
        self._context = context
        self._reads = reads
        #: by id, in sorted order.
        self.peers: dict[str, Progress] = {}
        self.uncommitted_bytes = 0
        #: servers that need a snapshot, and the entry that it must reach at least; given out once.
        self.snapshots_wanted: list[tuple[str, int]] = []
        self._heartbeat_elapsed = 0
        self._quorum_elapsed = 0

    def start(self) -> None:
        """Lead: open the term with an entry that commits what was before it."""
        context = self._context
        context.role = Role.LEADER
        context.leader = context.server_id
        context.rearm()
        self.peers = {}
        self._heartbeat_elapsed = self._quorum_elapsed = 0
        self.uncommitted_bytes = context.log.bytes_after(context.commit_index)
        self.follow_config()
        self.append(EntryKind.NOOP, (b"",))
        self._heartbeat()

    def stop(self) -> None:
        """Another leads, or nobody."""
        self.peers = {}
        self.snapshots_wanted.clear()

    def follow_config(self) -> None:
        """The members have changed: begin with the new ones, forget the removed."""
        context = self._context
        known = self.peers
        self.peers = {
            id_: known.get(id_) or Progress(id_, context.log.last_index + 1, context.options)
            for id_ in context.config.ids
            if id_ != context.server_id
        }

    def append(self, kind: EntryKind, batch: tuple[bytes, ...]) -> range:
        """Put new entries into the log; `flush` sends them."""
        context = self._context
        first = context.log.last_index + 1
        term = context.term
        context.append(
            tuple(Entry(index=first + n, term=term, kind=kind, data=data) for n, data in enumerate(batch))
        )
        self.uncommitted_bytes += sum(map(len, batch))
        return range(first, first + len(batch))

    # time ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Heartbeats, and the check that a quorum is still there."""
        context = self._context
        for peer in self.peers.values():
            peer.silent_ticks += 1
        self._quorum_elapsed += 1
        if self._quorum_elapsed >= context.options.election_ticks:
            self._quorum_elapsed = 0
            if not self._has_quorum():
                context.become_follower(context.term, "")
                return
        self._heartbeat_elapsed += 1
        if self._heartbeat_elapsed >= context.options.heartbeat_ticks:
            self._heartbeat()

    def _has_quorum(self) -> bool:
        """A quorum of voters was heard since the last check."""
        config = self._context.config
        active = 0
        for voter in config.voters:
            peer = self.peers.get(voter)
            active += peer is None or peer.is_active
        for peer in self.peers.values():
            peer.is_active = False
        return active >= config.quorum

    def _heartbeat(self) -> None:
        context = self._context
        self._heartbeat_elapsed = 0
        for peer in self.peers.values():
            commit = self._heartbeat_commit(peer)
            context.send(Heartbeat(**context.head(peer.id), commit=commit, round=self._reads.round))
            peer.sent_commit = max(peer.sent_commit, commit)

    def _heartbeat_commit(self, peer: Progress) -> int:
        """A server hears of commits only as far as its log is known to agree."""
        return min(peer.match, self._context.commit_index)

    # sending ---------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what is new."""
        if self._reads.open_round():
            self._heartbeat()
            self._reads.confirm(self.peers)
        for peer in self.peers.values():
            self._replicate(peer)

    def _replicate(self, peer: Progress) -> None:
        context = self._context
        last_index = context.log.last_index
        has_sent = False
        while peer.has_room and (peer.next <= last_index or peer.state is ProgressState.PROBE):
            if not self._send(peer):
                return
            has_sent = True
        if (
            not has_sent
            and peer.state is ProgressState.REPLICATE
            and peer.sent_commit < context.commit_index
            and peer.next > last_index
        ):
            self._send_empty(peer)

    def _send(self, peer: Progress) -> bool:
        """One append. False when the log does not reach back to what is needed."""
        context = self._context
        log = context.log
        prev_term = log.term(peer.next - 1)
        if prev_term == UNKNOWN:
            peer.await_snapshot()
            self.snapshots_wanted.append((peer.id, log.mark_index))
            return False
        options = context.options
        entries = log.slice(peer.next, log.last_index, options.append_bytes_max, options.append_entries_max)
        context.send(
            Append(
                **context.head(peer.id),
                prev_index=peer.next - 1,
                prev_term=prev_term,
                commit=context.commit_index,
                entries=entries,
            )
        )
        peer.sent_commit = context.commit_index
        peer.sent(peer.next + len(entries) - 1, sum(len(entry.data) for entry in entries))
        return True

    def _send_empty(self, peer: Progress) -> None:
        """Word of a commit, or a question whether what was sent has arrived."""
        context = self._context
        prev_term = context.log.term(peer.next - 1)
        if prev_term == UNKNOWN:
            peer.probe(peer.match + 1)
            return
        context.send(
            Append(
                **context.head(peer.id),
                prev_index=peer.next - 1,
                prev_term=prev_term,
                commit=context.commit_index,
            )
        )
        peer.sent_commit = context.commit_index

    # answers ---------------------------------------------------------------------------------------------

    def heard(self, peer: Progress) -> None:
        """A server has answered in this term."""
        peer.is_active = True
        peer.silent_ticks = 0

    def on_append_response(self, peer: Progress, message: AppendResponse) -> None:
        """A server has entries on its disk, or cannot take them yet."""
        self.heard(peer)
        if message.is_rejected:
            self._on_reject(peer, message)
            return
        is_new = peer.acked(message.index)
        if peer.state is ProgressState.PROBE or (
            peer.state is ProgressState.SNAPSHOT and peer.match >= self._context.log.mark_index
        ):
            peer.replicate()
        if is_new:
            self.maybe_commit()

    def _on_reject(self, peer: Progress, message: AppendResponse) -> None:
        """The logs differ before what was sent: go back, by a whole term at a time."""
        log = self._context.log
        if message.index <= peer.match or peer.state is ProgressState.SNAPSHOT:
            return
        if peer.state is ProgressState.REPLICATE:
            peer.probe(peer.match + 1)
            return
        if message.index != peer.next - 1:
            return
        agree = min(message.hint_index, message.index - 1)
        while agree > log.mark_index and log.term(agree) > message.hint_term:
            agree -= 1
        peer.probe(agree + 1)

    def on_heartbeat_response(self, peer: Progress, message: HeartbeatResponse) -> None:
        """A server follows; what it has not acknowledged since the last time may be lost."""
        self.heard(peer)
        peer.round = max(peer.round, message.round)
        if peer.state is ProgressState.PROBE:
            peer.is_paused = False
        elif (
            peer.state is ProgressState.REPLICATE
            and peer.match < self._context.log.last_index
            and peer.match == peer.match_at_heartbeat
        ):
            self._send_empty(peer)
        peer.match_at_heartbeat = peer.match
        self._reads.confirm(self.peers)

    # commit ----------------------------------------------------------------------------------------------

    def maybe_commit(self) -> None:
        """Commit what a quorum of voters has on disk."""
        context = self._context
        index = self._quorum_index()
        if index > context.commit_index and self._may_count(index):
            self.uncommitted_bytes -= sum(
                len(entry.data)
                for entry in context.log.slice(context.commit_index + 1, index, 1 << 62, 1 << 62)
            )
            context.commit_to(index)

    def _quorum_index(self) -> int:
        """The highest entry that a quorum of voters has on disk."""
        config = self._context.config
        matches = sorted(
            self._own_match() if voter == self._context.server_id else self.peers[voter].match
            for voter in config.voters
        )
        return matches[len(matches) - config.quorum]

    def _own_match(self) -> int:
        return self._context.log.persisted_index

    def _may_count(self, index: int) -> bool:
        """Copies of an older term's entry prove nothing: it may still be overwritten."""
        return self._context.log.term(index) == self._context.term

    # what the shell reports ------------------------------------------------------------------------------

    def report_unreachable(self, server_id: str) -> None:
        """The connection to a server is down: what is on its way is lost."""
        peer = self.peers.get(server_id)
        if peer is not None and peer.state is ProgressState.REPLICATE:
            peer.probe(peer.match + 1)

    def report_snapshot(self, server_id: str, ok: bool) -> None:
        """A snapshot has arrived at a server, or has not."""
        peer = self.peers.get(server_id)
        if peer is None or peer.state is not ProgressState.SNAPSHOT:
            return
        peer.probe(peer.match + 1)
        # after a success the acknowledgement may still be under way; after a failure the server may be down
        peer.is_paused = True
