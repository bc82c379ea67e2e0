"""Changing: one change of the members at a time, and handing leadership over.

Theory: a change may begin only when the one before is committed, and when the leader has committed an entry of its
own term (without that, two leaders could each change the same old set, and their majorities need not meet). It takes
effect when it is appended. A leader that removes itself goes on, without counting itself, until that is committed,
then hands over.
Handing over: proposals are refused while the chosen voter catches up; then it is told to stand at once. If it has not
won within an election timeout, this server goes on leading.
Pure.

Source: thesis 3.10, 4.1-4.2.2; the correction of 2015 to single-server changes; spec/gossip-and-raft.md 3.3, 3.4.
"""

from __future__ import annotations

from daemon.consensus.port import EntryKind
from daemon.consensus.raft.context import Context
from daemon.consensus.raft.leading import Leading
from daemon.consensus.raft.members import ChangeKind, MemberChange, changed
from daemon.consensus.raft.messages import TimeoutNow
from daemon.consensus.raft.progress import ProgressState
from daemon.model.base import encode
from daemon.model.errors import InvalidInput, Unavailable


class Changing:
    """Members and succession, while this server leads."""

    def __init__(self, context: Context, leading: Leading) -> None:
        self._context = context
        self._leading = leading
        #: whom leadership is being handed to; "" nobody.
        self.successor = ""
        self._elapsed = 0
        self._is_told = False

    def stop(self) -> None:
        """This server does not lead any more."""
        self.successor = ""

    def propose(self, change: MemberChange) -> int:
        """Change the members; the index of the entry.

        Raises: Unavailable, when it is not the time; Conflict, NotFound, InvalidInput, when it does not fit.
        """
        context = self._context
        self._check_idle()
        members = changed(context.config.members, change)
        if change.kind is ChangeKind.PROMOTE:
            self._check_caught_up(change.id)
        index = self._leading.append(EntryKind.MEMBERS, (encode(members),)).start
        self._leading.follow_config()
        self._leading.maybe_commit()
        return index

    def _check_idle(self) -> None:
        context = self._context
        if self.successor:
            raise Unavailable(f"leadership is being handed to {self.successor}; ask it in a moment")
        if self._is_change_open():
            raise Unavailable(
                f"the members' change at entry {context.config.index} is not committed yet; one at a time",
                retry_after_s=1,
            )
        if not self._has_own_commit():
            raise Unavailable(
                f"the leader of term {context.term} has committed nothing yet; try again in a moment",
                retry_after_s=1,
            )

    def _is_change_open(self) -> bool:
        return self._context.config.index > self._context.commit_index

    def _has_own_commit(self) -> bool:
        context = self._context
        return context.log.term(context.commit_index) == context.term

    def _check_caught_up(self, server_id: str) -> None:
        context = self._context
        peer = self._leading.peers.get(server_id)
        lag = context.log.last_index - (peer.match if peer else 0)
        if (
            peer is None
            or peer.state is not ProgressState.REPLICATE
            or lag > context.options.promote_lag_entries
        ):
            raise Unavailable(
                f"server {server_id} is {lag} entries behind; it is promoted when it is at most "
                f"{context.options.promote_lag_entries} behind",
                retry_after_s=1,
            )

    def transfer(self, to: str) -> str:
        """Hand leadership to a voter ("": the one whose log is best); the choice.

        Raises: InvalidInput, Unavailable.
        """
        context = self._context
        successor = to or self._best_voter()
        if successor == context.server_id:
            raise InvalidInput(f"server {successor} leads already")
        if not successor or successor not in context.config.voters:
            raise InvalidInput(
                f"leadership can only be handed to another voter; got {successor!r}, voters are "
                f"{', '.join(context.config.voters)}"
            )
        if self.successor not in ("", successor):
            raise Unavailable(f"leadership is being handed to {self.successor} already", retry_after_s=1)
        self.successor = successor
        self._elapsed = 0
        self._is_told = False
        return successor

    def _best_voter(self) -> str:
        context = self._context
        peers = [peer for id_, peer in self._leading.peers.items() if id_ in context.config.voters]
        alive = [peer for peer in peers if peer.silent_ticks < context.options.election_ticks]
        best = max(alive or peers, key=lambda peer: peer.match, default=None)
        return best.id if best else ""

    def tick(self) -> None:
        """Give up on a successor that does not come."""
        self._elapsed += 1
        if self.successor and self._elapsed >= self._context.options.election_ticks:
            self.successor = ""

    def flush(self) -> None:
        """Tell the successor as soon as it has everything."""
        if self.successor and not self._is_told:
            peer = self._leading.peers.get(self.successor)
            if peer is None:
                self.successor = ""
            elif peer.match == self._context.log.last_index:
                self._is_told = True
                self._tell(peer.id)

    def _tell(self, server_id: str) -> None:
        self._context.send(TimeoutNow(**self._context.head(server_id)))

    def abdicate(self) -> None:
        """Stop leading now, and let the best of the others stand."""
        context = self._context
        successor = self._best_voter()
        if successor:
            self._tell(successor)
        context.become_follower(context.term, "")

    def leave_if_removed(self) -> None:
        """A leader that is no member any more goes when that is committed, and the others were told."""
        context = self._context
        config = context.config
        if config.index <= context.commit_index and context.server_id not in config.ids:
            self.abdicate()
            context.is_removed = True
