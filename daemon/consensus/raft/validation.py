"""Validation: what of a message can be seen to be wrong before anything is done with it.

Theory: a message that cannot come from a working server of this cluster is refused whole, and changes nothing.
What is merely late, or from somebody unknown, is for the parts to ignore.
Pure.

Source: spec/gossip-and-raft.md 3.4, 6.
"""

from __future__ import annotations

from typing import Any, NoReturn

from daemon.consensus.port import Entry, EntryKind
from daemon.consensus.raft.context import Context
from daemon.consensus.raft.members import checked, read_members
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
from daemon.model.errors import InvalidInput, PeerFault

#: no cluster lives to see it; beyond it a number is made up, and would use up the terms that are left.
NUMBER_MAX = 1 << 60


def validate(context: Context, sender: str, message: Any) -> None:
    """Refuse what no working server of this cluster sends.

    Raises: PeerFault, naming the sender and what is wrong.
    """
    if not isinstance(message, Message):
        raise PeerFault(
            f"server {sender} sent a {type(message).__name__}, which is no raft message", peer=sender
        )
    if message.cluster_id != context.cluster_id:
        _refuse(sender, message, f"is of cluster {message.cluster_id!r}; this is {context.cluster_id!r}")
    if message.sender != sender or message.receiver != context.server_id or sender == context.server_id:
        _refuse(sender, message, f"says it goes from {message.sender!r} to {message.receiver!r}")
    if not 1 <= message.term <= NUMBER_MAX or not 0 <= message.config_index <= NUMBER_MAX:
        _refuse(sender, message, f"has term {message.term}, members of {message.config_index}")
    match message:
        case Append():
            _append(sender, message)
        case AppendResponse():
            _numbers(sender, message, message.index, message.hint_index, message.hint_term)
        case Heartbeat():
            _numbers(sender, message, message.commit, message.round)
        case HeartbeatResponse():
            _numbers(sender, message, message.round)
        case VoteRequest():
            _numbers(sender, message, message.last_index, message.last_term)
            if message.last_term > message.term:
                _refuse(sender, message, f"has a log of term {message.last_term} in term {message.term}")
        case InstallSnapshot():
            _snapshot(sender, message)
        case VoteResponse() | TimeoutNow():
            pass
        case _:
            _refuse(sender, message, "is of a kind that this version does not know")


def _refuse(sender: str, message: Message, what: str) -> NoReturn:
    raise PeerFault(f"{type(message).__name__} from server {sender} {what}; it is ignored", peer=sender)


def _numbers(sender: str, message: Message, *numbers: int) -> None:
    if not all(0 <= number <= NUMBER_MAX for number in numbers):
        _refuse(sender, message, f"has numbers beyond all bounds: {numbers}")


def _append(sender: str, message: Append) -> None:
    _numbers(sender, message, message.prev_index, message.prev_term, message.commit)
    if message.prev_term > message.term or (message.prev_index == 0) != (message.prev_term == 0):
        _refuse(sender, message, f"follows entry {message.prev_index} of term {message.prev_term}")
    index, term = message.prev_index, message.prev_term
    for entry in message.entries:
        index += 1
        if entry.index != index or not max(1, term) <= entry.term <= message.term:
            _refuse(
                sender, message, f"has entry {entry.index} of term {entry.term} after {index - 1} of {term}"
            )
        term = entry.term
        _entry(sender, message, entry)


def _entry(sender: str, message: Append, entry: Entry) -> None:
    if entry.kind is EntryKind.MEMBERS:
        try:
            read_members(entry.data)
        except InvalidInput as error:
            _refuse(sender, message, f"has members at entry {entry.index} that cannot be: {error}")


def _snapshot(sender: str, message: InstallSnapshot) -> None:
    mark = message.mark
    _numbers(sender, message, mark.index, mark.term, message.members_index)
    if not 1 <= mark.term <= message.term or mark.index < 1 or message.members_index > mark.index:
        _refuse(
            sender, message, f"ends at {mark.index} of term {mark.term}, members of {message.members_index}"
        )
    try:
        checked(message.members)
    except InvalidInput as error:
        _refuse(sender, message, f"has members that cannot be: {error}")
