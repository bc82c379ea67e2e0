"""RaftCore: one server of several that agree on a log; the consensus port's core for a cluster.

Theory: the parts (elections, following, leading, reads, changing) share one context; this class takes what comes in
to the part concerned, and gathers in `take` what is to be done. Time is `tick`, chance is `draw`; nothing here waits.
A server with one voter is the same thing: it elects itself, and its own disk is the quorum.
Rules for the shell, besides the port's: Readys are made durable in the order in which they were taken, and
`messages_after_sync` of one leave only when all Readys up to it are durable; `persisted` is called once for each
Ready with entries or a snapshot; a snapshot of a Ready is made durable before its entries. After `not_persisted` the
same entries are offered again at the next tick, and what was in `messages_after_sync` is dropped. A snapshot may be
taken and the log compacted only up to what is both applied and persisted.
Non-goals: sockets, files, chunks of snapshots, who should be a member. It is not connected to the server yet.
Pure.

Source: Ongaro and Ousterhout, "In search of an understandable consensus algorithm"; Ongaro's thesis;
spec/gossip-and-raft.md 3.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from daemon.consensus.port import Entry, EntryKind, HardState, Ready, Role, SnapshotMark
from daemon.consensus.raft.changing import Changing
from daemon.consensus.raft.context import Context, Draw
from daemon.consensus.raft.elections import Elections
from daemon.consensus.raft.following import Following
from daemon.consensus.raft.incoming import Incoming
from daemon.consensus.raft.leading import Leading
from daemon.consensus.raft.log import RaftLog
from daemon.consensus.raft.members import Config, MemberChange, MemberHistory, Members
from daemon.consensus.raft.messages import InstallSnapshot, TimeoutNow
from daemon.consensus.raft.options import RaftOptions
from daemon.consensus.raft.reads import Reads
from daemon.consensus.raft.validation import validate
from daemon.consensus.raft.view import CoreView
from daemon.model.errors import NotLeader, Unavailable, check


class RaftCore(CoreView):
    """A core among several. The shell owns it; not thread-safe; never blocks."""

    def __init__(
        self,
        server_id: str,
        cluster_id: str,
        *,
        draw: Draw,
        hard_state: HardState,
        log: Iterable[Entry] = (),
        mark: SnapshotMark | None = None,
        members: Members | None = None,
        members_index: int = 0,
        options: RaftOptions | None = None,
    ) -> None:
        """`log`: what is on disk after the snapshot at `mark`; `members`: who they were there (None: nobody yet)."""
        entries = list(log)
        mark = mark or SnapshotMark(index=0, term=0)
        context = Context(
            server_id,
            cluster_id,
            options or RaftOptions(),
            draw,
            hard_state,
            RaftLog(mark, entries),
            MemberHistory(members_index, members or Members(), entries),
        )
        check(
            context.log.last_term <= hard_state.term,
            "the hard state on disk is not older than the log",
            term=hard_state.term,
            last_term=context.log.last_term,
        )
        self._context = context
        self._reads = Reads(context)
        self._leading = Leading(context, self._reads)
        self._changing = Changing(context, self._leading)
        self._following = Following(context)
        self._elections = Elections(context, self._leading.start)
        self._incoming = Incoming(context, self._elections, self._following, self._leading, self._reads)
        context.on_step_down = self._step_down
        #: given out for applying, and applied.
        self._given_index = mark.index
        self._applied_index = mark.index
        #: the disk is full: nothing is offered to it before the next tick.
        self._is_held = False

    # what the shell asks ---------------------------------------------------------------------------------

    def tick(self) -> None:
        """One unit of time has passed."""
        context = self._context
        self._is_held = False
        if context.fault:
            return
        if context.role is Role.LEADER:
            self._changing.tick()
            self._leading.tick()
        else:
            self._elections.tick()

    def campaign(self) -> None:
        """Stand for election without waiting for silence; the only voter leads at once."""
        if self.role is not Role.LEADER:
            self._elections.stand(is_pre=True)

    def propose(self, batch: Sequence[bytes]) -> range:
        """Append commands; the indexes they got.

        Raises: NotLeader; Unavailable, when too much waits, or leadership is being handed over.
        """
        self._check_leads()
        if self._changing.successor:
            raise Unavailable(
                f"leadership is being handed to {self._changing.successor}; try again in a moment",
                retry_after_s=1,
            )
        if self._leading.uncommitted_bytes > self._context.options.uncommitted_bytes_max:
            raise Unavailable(
                f"{self._leading.uncommitted_bytes} bytes wait for the other servers; try again in a moment",
                retry_after_s=1,
            )
        return self._leading.append(EntryKind.COMMAND, tuple(batch))

    def propose_change(self, change: MemberChange) -> int:
        """Change the members by one; the index of the entry.

        Raises: NotLeader; Unavailable, when it is not the time; Conflict, NotFound, InvalidInput.
        """
        self._check_leads()
        return self._changing.propose(change)

    def read_index(self, context: int) -> None:
        """Ask from which index on a linearizable read may be served.

        Raises: NotLeader; Unavailable, when too many wait.
        """
        self._check_leads()
        self._reads.ask(context)

    def transfer(self, to: str = "") -> str:
        """Hand leadership to a voter ("": the best); the choice. `role` tells when it has happened.

        Raises: NotLeader, InvalidInput, Unavailable.
        """
        self._check_leads()
        return self._changing.transfer(to)

    def _check_leads(self) -> None:
        context = self._context
        if context.role is not Role.LEADER:
            known = (
                f"; ask {context.leader}" if context.leader else "; nobody known does, try again in a moment"
            )
            raise NotLeader(f"server {context.server_id} does not lead{known}", leader=context.leader)

    # messages --------------------------------------------------------------------------------------------

    def step(self, sender: str, message: Any) -> None:
        """A message of another server came in.

        Raises: PeerFault, when no working server of this cluster sends that; it is ignored then.
        """
        validate(self._context, sender, message)
        if self._context.fault:
            return
        self._incoming.take(message)
        # a snapshot that was taken over stands for all that it holds
        self._given_index = max(self._given_index, self._context.log.mark_index)
        self._applied_index = max(self._applied_index, self._context.log.mark_index)

    def snapshot_message(self, receiver: str, mark: SnapshotMark, config: Config) -> InstallSnapshot:
        """What goes with the chunks of a snapshot, and is given to the receiver's core when all are there."""
        return InstallSnapshot(
            **self._context.head(receiver), mark=mark, members=config.members, members_index=config.index
        )

    def report_unreachable(self, server_id: str) -> None:
        """The connection to a server is down."""
        self._leading.report_unreachable(server_id)

    def report_snapshot(self, server_id: str, ok: bool) -> None:
        """The snapshot that a server wanted has arrived there, or could not be sent."""
        self._leading.report_snapshot(server_id, ok)

    # the disk and the state ------------------------------------------------------------------------------

    def take(self) -> Ready:
        """What is to be done now."""
        context = self._context
        if context.role is Role.LEADER:
            self._lead()
        hard_state: HardState | None = None
        truncate_from = 0
        entries: tuple[Entry, ...] = ()
        snapshot: SnapshotMark | None = None
        if context.fault or self._is_held:
            context.after_sync.clear()
        else:
            # a snapshot goes with the hard state of the term that it came in, never before it
            snapshot, self._following.snapshot = self._following.snapshot, None
            if context.is_hard_state_new:
                hard_state = context.hard_state
                context.is_hard_state_new = False
            truncate_from, entries = context.log.take_unwritten()
        wanted, self._leading.snapshots_wanted = tuple(self._leading.snapshots_wanted), []
        before, context.before_sync = tuple(context.before_sync), []
        after, context.after_sync = tuple(context.after_sync), []
        return Ready(
            hard_state=hard_state,
            truncate_from=truncate_from,
            entries=entries,
            snapshot=snapshot,
            messages_before_sync=before,
            messages_after_sync=after,
            committed=self._take_committed(),
            reads=self._reads.take_served(),
            lost_reads=self._reads.take_lost(),
            snapshots_wanted=wanted,
        )

    def _lead(self) -> None:
        self._leading.maybe_commit()
        self._leading.flush()
        self._changing.flush()
        self._changing.leave_if_removed()

    def _take_committed(self) -> tuple[Entry, ...]:
        context = self._context
        room = context.options.apply_entries_max - (self._given_index - self._applied_index)
        if self._given_index >= context.commit_index or room <= 0 or self._following.snapshot is not None:
            return ()
        committed = context.log.slice(self._given_index + 1, context.commit_index, 1 << 62, room)
        self._given_index = committed[-1].index
        return committed

    def persisted(self, index: int, term: int) -> None:
        """The write that ends with this entry (or snapshot) is durable. One of another log: a late word, ignored."""
        if self._context.log.persisted(index, term):
            self._context.full_ticks = 0
            if self._context.role is Role.LEADER:
                self._leading.maybe_commit()

    def not_persisted(self, index: int) -> None:
        """The disk is full: nothing from here on was taken, nor any Ready since.

        The entries stay, since others may have them; they are offered again after the next tick. A leader hands over,
        and does not stand again for a while, or until a write has succeeded.
        """
        context = self._context
        if not context.log.not_persisted(index):
            self.disk_failed("a snapshot of another server could not be written")
            return
        if context.role is Role.LEADER:
            self._changing.abdicate()
        elif context.role is Role.CANDIDATE:
            context.become_follower(context.term, "")
        context.full_ticks = 4 * context.options.election_ticks
        context.is_hard_state_new = True
        context.after_sync.clear()
        self._is_held = True

    def disk_failed(self, reason: str) -> None:
        """A write or sync failed: what is on disk is not known. A leader hands over.

        This server takes no part any more and must be restarted; what it has applied may still be read as stale.
        """
        context = self._context
        farewell: list[Any] = []
        if context.role is Role.LEADER:
            self._changing.abdicate()
            farewell = [pair for pair in context.before_sync if isinstance(pair[1], TimeoutNow)]
        context.retire(f"the disk of server {context.server_id} failed: {reason}; restart it")
        context.before_sync += farewell

    def applied(self, index: int) -> None:
        """The state contains everything up to here."""
        check(index <= self._given_index, "only committed entries are applied", index=index)
        self._applied_index = max(self._applied_index, index)

    def compact(self, index: int) -> None:
        """A durable snapshot holds everything up to here: forget it, as far as it is applied and persisted."""
        context = self._context
        index = min(index, self._applied_index, context.log.persisted_index)
        if index > context.log.mark_index:
            context.log.compact(index)
            context.history.compact(index)

    def _step_down(self) -> None:
        self._leading.stop()
        self._changing.stop()
        self._reads.drop()
