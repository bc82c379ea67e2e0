"""Reads: from which index on a linearizable read may be served, without writing to the log.

Theory: the commit index of a leader is the answer, if it still leads. So the index is noted, a round of heartbeats is
sent, and when a quorum has echoed that round or a later one, nobody else can have been elected before the question.
All reads of one turn share a round. A new leader knows what is committed only after the first commit of its own term:
reads wait until then.
Non-goals: leases, which the pauses of a process would break.
Pure.

Source: thesis 6.4; spec/gossip-and-raft.md 3.3, 3.4.
"""

from __future__ import annotations

from collections import deque

from daemon.consensus.raft.context import Context
from daemon.consensus.raft.progress import Progress
from daemon.model.errors import Unavailable


class Reads:
    """Questions of one leadership."""

    def __init__(self, context: Context) -> None:
        self._context = context
        #: number of the newest round of heartbeats.
        self.round = 0
        self._new: list[int] = []
        #: (round, context, index), in order.
        self._waiting: deque[tuple[int, int, int]] = deque()
        self._served: list[tuple[int, int]] = []
        self._lost: list[int] = []

    def ask(self, context: int) -> None:
        """A question; answered by `take_served` or `take_lost`.

        Raises: Unavailable, when too many wait.
        """
        if len(self._new) + len(self._waiting) >= self._context.options.reads_max:
            raise Unavailable(
                "too many reads wait for the other servers; try again in a moment", retry_after_s=1
            )
        self._new.append(context)

    def open_round(self) -> bool:
        """Give the new questions a round. True when it must be sent to the others."""
        context = self._context
        if not self._new or context.log.term(context.commit_index) != context.term:
            return False
        self.round += 1
        self._waiting.extend((self.round, question, context.commit_index) for question in self._new)
        self._new.clear()
        return True

    def confirm(self, peers: dict[str, Progress]) -> None:
        """Serve what a quorum has echoed."""
        if not self._waiting:
            return
        reached = self._confirmed_round(peers)
        while self._waiting and self._waiting[0][0] <= reached:
            _, question, index = self._waiting.popleft()
            self._served.append((question, index))

    def _confirmed_round(self, peers: dict[str, Progress]) -> int:
        context = self._context
        config = context.config
        rounds = sorted(
            self.round if voter == context.server_id else peers[voter].round for voter in config.voters
        )
        return rounds[len(rounds) - config.quorum]

    def drop(self) -> None:
        """This server does not lead any more: whoever asked must ask the next leader."""
        self._lost += self._new
        self._lost += [question for _, question, _ in self._waiting]
        self._new.clear()
        self._waiting.clear()

    def take_served(self) -> tuple[tuple[int, int], ...]:
        """(context, index): may be served when the index is applied."""
        served, self._served = tuple(self._served), []
        return served

    def take_lost(self) -> tuple[int, ...]:
        """Contexts that nobody answers any more."""
        lost, self._lost = tuple(self._lost), []
        return lost
