"""Elections: standing for leader, and voting.

Theory: a candidate first asks whether it would be elected (pre-vote): nothing changes by the question, so a server
that cannot hear its leader does not push the others into new terms. While a leader is known to live, requests are not
even answered, unless the leader itself hands over, or the asker is that leader. A vote is given once a term, only to
a log that is up to date, and leaves when it is durable.
An asker that is no member any more by committed members is told so; it would ask for ever otherwise.
Pure.

Source: Raft paper 5.2, 5.4.1; thesis 4.2.3, 6.2, 9.6; spec/gossip-and-raft.md 3.4 "Vote".
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.consensus.port import Role
from daemon.consensus.raft.context import Context
from daemon.consensus.raft.messages import VoteRequest, VoteResponse


class Elections:
    """The part of a core that makes leaders."""

    def __init__(self, context: Context, on_elected: Callable[[], None]) -> None:
        self._context = context
        self._on_elected = on_elected
        self._is_pre = False
        self._votes: dict[str, bool] = {}

    def tick(self) -> None:
        """Time passes without a leader, perhaps."""
        context = self._context
        context.elapsed += 1
        context.silence += 1
        context.full_ticks = max(0, context.full_ticks - 1)
        if context.elapsed >= context.timeout:
            context.rearm()
            self.stand(is_pre=True)

    def stand(self, *, is_pre: bool, is_transfer: bool = False) -> None:
        """Ask for votes, if this server may lead at all."""
        context = self._context
        if not context.may_stand or context.full_ticks or context.fault:
            return
        self._is_pre = is_pre
        context.role = Role.CANDIDATE
        context.leader = ""
        context.rearm()
        if not is_pre:
            context.open_term(context.term + 1, context.server_id)
        self._votes = {context.server_id: True}
        for voter in context.config.voters:
            if voter != context.server_id:
                self._ask(voter, is_transfer)
        self._count()

    def _ask(self, voter: str, is_transfer: bool) -> None:
        context = self._context
        head = context.head(voter)
        head["term"] += self._is_pre
        request = VoteRequest(
            **head,
            last_index=context.log.last_index,
            last_term=context.log.last_term,
            is_pre=self._is_pre,
            is_transfer=is_transfer,
        )
        # the vote for oneself must be durable before others may add theirs to it
        if self._is_pre:
            context.send(request)
        else:
            context.send_after_sync(request)

    def on_request(self, message: VoteRequest) -> None:
        """Somebody stands for leader."""
        context = self._context
        if self._knows_removed(message):
            self._answer(message, context.term, False, is_removed=True)
            return
        if message.term < context.term:
            self._answer(message, context.term, False)
            return
        if not message.is_transfer and context.hears_leader(message.sender):
            return
        if message.is_pre:
            granted = message.term > context.term and self._may_vote(message) and self._is_up_to_date(message)
            self._answer(message, message.term if granted else context.term, granted)
            return
        if message.term > context.term:
            context.become_follower(message.term, "")
        granted = self._has_vote_for(message) and self._may_vote(message) and self._is_up_to_date(message)
        if granted:
            context.open_term(context.term, message.sender)
            context.rearm()
        self._answer(message, context.term, granted)

    def _answer(self, message: VoteRequest, term: int, is_granted: bool, *, is_removed: bool = False) -> None:
        context = self._context
        head = context.head(message.sender)
        head["term"] = term
        response = VoteResponse(**head, is_granted=is_granted, is_pre=message.is_pre, is_removed=is_removed)
        if is_granted and not message.is_pre:
            context.send_after_sync(response)
        else:
            context.send(response)

    def _has_vote_for(self, message: VoteRequest) -> bool:
        """The vote of this term is free, or is the asker's already."""
        return self._context.vote in ("", message.sender) and not self._context.leader

    def _is_up_to_date(self, message: VoteRequest) -> bool:
        """The asker's log holds all that may be committed as far as this server can tell."""
        log = self._context.log
        return (message.last_term, message.last_index) >= (log.last_term, log.last_index)

    def _may_vote(self, message: VoteRequest) -> bool:
        """True for a voter, and for one that newer or uncertain members may have made one.

        A server without members has an empty disk, and may have voted before it lost what was there.
        """
        context = self._context
        config = context.config
        if context.is_voter:
            return True
        if not config.ids:
            return False
        return message.config_index > config.index or config.index > context.commit_index

    def _knows_removed(self, message: VoteRequest) -> bool:
        """The asker goes by members no newer than ours, which are committed and are without it."""
        context = self._context
        config = context.config
        return (
            bool(config.ids)
            and message.sender not in config.ids
            and message.config_index <= config.index <= context.commit_index
        )

    def on_response(self, message: VoteResponse) -> None:
        """A vote, or a refusal."""
        context = self._context
        config = context.config
        if message.sender not in config.ids:
            return
        if message.is_removed and (
            message.config_index > config.index
            or (message.config_index == config.index and context.server_id not in config.ids)
        ):
            context.is_removed = True
            if context.role is Role.CANDIDATE:
                context.become_follower(context.term, "")
            return
        if message.term > context.term and not (message.is_pre and message.is_granted):
            context.become_follower(message.term, "")
            return
        asked_term = context.term + (message.is_pre and message.is_granted)
        if context.role is not Role.CANDIDATE or message.is_pre != self._is_pre or message.term != asked_term:
            return
        self._votes.setdefault(message.sender, message.is_granted)
        self._count()

    def _count(self) -> None:
        context = self._context
        config = context.config
        granted = sum(self._votes.get(voter, False) for voter in config.voters)
        refused = sum(not self._votes.get(voter, True) for voter in config.voters)
        if granted >= config.quorum:
            if self._is_pre:
                self.stand(is_pre=False)
            else:
                self._on_elected()
        elif refused > len(config.voters) - config.quorum:
            context.become_follower(context.term, "")
