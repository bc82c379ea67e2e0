"""Context: what the parts of a core share: who this server is, its term, role and log, and what waits to be sent.

Theory: `become_follower` is the only way down, `hear_leader` the only way in which silence ends. The term and the
vote change only here, and with that hard state is marked for the disk.
Pure.

Source: spec/gossip-and-raft.md 3.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daemon.consensus.port import Entry, HardState, Role
from daemon.consensus.raft.log import RaftLog
from daemon.consensus.raft.members import Config, MemberHistory
from daemon.consensus.raft.messages import AnyMessage
from daemon.consensus.raft.options import RaftOptions
from daemon.model.errors import check

#: a number below the argument, from a seeded source.
Draw = Callable[[int], int]


class Context:
    """One server's state as the paper lists it. Parts read and change it; nobody outside the core does."""

    def __init__(
        self,
        server_id: str,
        cluster_id: str,
        options: RaftOptions,
        draw: Draw,
        hard_state: HardState,
        log: RaftLog,
        history: MemberHistory,
    ) -> None:
        self.server_id = server_id
        self.cluster_id = cluster_id
        self.options = options
        self.draw = draw
        self.term = hard_state.term
        self.vote = hard_state.vote
        self.log = log
        self.history = history
        self.role = Role.FOLLOWER
        #: "" when it is not known.
        self.leader = ""
        self.commit_index = log.mark_index
        #: ticks since the election timer was set, and since a leader was heard.
        self.elapsed = 0
        self.silence = 0
        self.timeout = 0
        #: told so by a member; until a leader is heard again.
        self.is_removed = False
        #: the disk refused a write: so long this server does not stand.
        self.full_ticks = 0
        #: why this server takes no part any more; "" while it does.
        self.fault = ""
        self.is_hard_state_new = False
        self.before_sync: list[tuple[str, AnyMessage]] = []
        self.after_sync: list[tuple[str, AnyMessage]] = []
        #: called when a leader stops being one.
        self.on_step_down: Callable[[], None] = lambda: None
        self.rearm()

    @property
    def config(self) -> Config:
        """The members in force."""
        return self.history.latest

    @property
    def is_voter(self) -> bool:
        """True when this server votes by its own members."""
        return self.server_id in self.history.latest.voters

    @property
    def may_stand(self) -> bool:
        """True for a voter, and for one whose removal is in its log but not known to be committed.

        Its log may be the best of all, and then nobody else can be elected to commit or undo the removal.
        """
        config = self.history.latest
        if self.server_id in config.voters:
            return not self.is_removed
        return (
            config.index > self.commit_index
            and self.server_id in self.history.at(config.index - 1).voters
            and not self.is_removed
        )

    @property
    def hard_state(self) -> HardState:
        """What must be durable before what follows from it is said."""
        return HardState(term=self.term, vote=self.vote)

    def head(self, receiver: str) -> dict[str, Any]:
        """The fields that every message has."""
        return {
            "cluster_id": self.cluster_id,
            "sender": self.server_id,
            "receiver": receiver,
            "term": self.term,
            "config_index": self.history.latest.index,
        }

    def send(self, message: AnyMessage) -> None:
        """At once, whatever the disk does."""
        self.before_sync.append((message.receiver, message))

    def send_after_sync(self, message: AnyMessage) -> None:
        """When all that is in memory now is durable."""
        self.after_sync.append((message.receiver, message))

    def rearm(self) -> None:
        """Set the election timer anew, to another time."""
        self.elapsed = 0
        self.timeout = self.options.election_ticks + self.draw(self.options.election_ticks)

    def open_term(self, term: int, vote: str) -> None:
        """Enter a later term, or vote in this one."""
        check(term >= self.term, "terms never go back", term=self.term, new=term)
        check(
            term > self.term or self.vote in ("", vote),
            "one vote a term",
            term=term,
            vote=self.vote,
            new=vote,
        )
        if term > self.term:
            # what waits for the disk belongs to the old term: the new leader may undo what it acknowledges
            # before the disk has seen it, and nobody needs it any more
            self.after_sync.clear()
        if (term, vote) != (self.term, self.vote):
            self.term, self.vote = term, vote
            self.is_hard_state_new = True

    def become_follower(self, term: int, leader: str) -> None:
        """Follow somebody, or nobody known, in this term or a later one."""
        if term > self.term:
            self.open_term(term, "")
        was_leader = self.role is Role.LEADER
        self.role = Role.FOLLOWER
        self.leader = leader
        self.rearm()
        if was_leader:
            self.on_step_down()

    def hear_leader(self, term: int, leader: str) -> None:
        """The leader of a term that is not behind ours has spoken."""
        if term > self.term or self.role is not Role.FOLLOWER or self.leader != leader:
            self.become_follower(term, leader)
        self.elapsed = 0
        self.silence = 0
        self.is_removed = False

    def hears_leader(self, asker: str) -> bool:
        """True while there is no reason to elect another: a leader other than the asker is known to live."""
        if self.role is Role.LEADER:
            return True
        return self.leader not in ("", asker) and self.silence < self.options.election_ticks

    def commit_to(self, index: int) -> None:
        """Entries up to here are committed."""
        if index > self.commit_index:
            check(index <= self.log.last_index, "what is committed is in the log", index=index)
            self.commit_index = index

    def append(self, entries: tuple[Entry, ...]) -> None:
        """Put entries into the log; members take effect with that."""
        self.log.append(entries)
        self.history.append(entries)

    def truncate(self, index: int) -> None:
        """Take entries out of the log, and the members that they brought."""
        check(
            index > self.commit_index, "committed entries stay", index=index, commit_index=self.commit_index
        )
        self.log.truncate(index)
        self.history.truncate(index)

    def retire(self, reason: str) -> None:
        """Take no part any more: this server's disk cannot be trusted."""
        if not self.fault:
            self.become_follower(self.term, "")
            self.fault = reason
        self.before_sync.clear()
        self.after_sync.clear()
