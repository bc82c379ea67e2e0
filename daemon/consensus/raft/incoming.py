"""Incoming: each message to the part that it concerns, after the rules about terms that hold for all.

Theory: a later term in anything but a question makes a follower; an earlier one is answered only where the sender
must learn that it was left behind. Leaders are heard also when our members do not know them: theirs may be newer.
Pure.

Source: Raft paper 5.1; spec/gossip-and-raft.md 3.4.
"""

from __future__ import annotations

from daemon.consensus.port import Role
from daemon.consensus.raft.context import Context
from daemon.consensus.raft.elections import Elections
from daemon.consensus.raft.following import Following
from daemon.consensus.raft.leading import Leading
from daemon.consensus.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    Message,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from daemon.consensus.raft.reads import Reads
from daemon.model.errors import PeerFault


class Incoming:
    """The part of a core that takes messages apart."""

    def __init__(
        self, context: Context, elections: Elections, following: Following, leading: Leading, reads: Reads
    ) -> None:
        self._context = context
        self._elections = elections
        self._following = following
        self._leading = leading
        self._reads = reads

    def take(self, message: Message) -> None:
        """A message that has been validated.

        Raises: PeerFault, when it contradicts what is known here for certain.
        """
        context = self._context
        match message:
            case Append() | Heartbeat() | InstallSnapshot():
                self._from_leader(message)
            case VoteRequest():
                self._elections.on_request(message)
            case VoteResponse():
                self._elections.on_response(message)
            case AppendResponse() | HeartbeatResponse():
                self._from_peer(message)
            case TimeoutNow():
                if message.term == context.term and message.sender == context.leader:
                    self._elections.stand(is_pre=False, is_transfer=True)

    def _from_leader(self, message: Append | Heartbeat | InstallSnapshot) -> None:
        context = self._context
        if message.term < context.term:
            # a leader that was left behind learns of the later term, and stops
            context.send(AppendResponse(**context.head(message.sender), index=0, is_rejected=True))
            return
        if message.term == context.term and context.role is Role.LEADER:
            raise PeerFault(
                f"server {message.sender} leads in term {context.term}, in which this server was elected",
                peer=message.sender,
            )
        context.hear_leader(message.term, message.sender)
        match message:
            case Append():
                self._following.on_append(message)
            case Heartbeat():
                self._following.on_heartbeat(message)
            case InstallSnapshot():
                self._following.on_snapshot(message)

    def _from_peer(self, message: AppendResponse | HeartbeatResponse) -> None:
        context = self._context
        if message.term > context.term:
            if message.sender in context.config.ids:
                context.become_follower(message.term, "")
            return
        peer = self._leading.peers.get(message.sender)
        if context.role is not Role.LEADER or message.term < context.term or peer is None:
            return
        if isinstance(message, HeartbeatResponse):
            if message.round <= self._reads.round:
                self._leading.on_heartbeat_response(peer, message)
            return
        if message.index > context.log.last_index:
            raise PeerFault(
                f"server {message.sender} acknowledges entry {message.index}; the log ends at {context.log.last_index}",
                peer=message.sender,
            )
        self._leading.on_append_response(peer, message)
