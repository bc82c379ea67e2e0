"""Members: who takes part, who votes, and the changes from one set to the next.

Theory: sets change one server at a time, so that any majority of the old set and any of the new one have a server in
common. A server joins without a vote, catches up, and is promoted then. A set takes effect for a server as soon as
the entry is in its log, committed or not; when the entry is truncated the set before it is in force again.
Non-goals: who should be a member (autopilot and operators decide); joint consensus.
Pure.

Source: Ongaro's thesis 4.1-4.2; spec/gossip-and-raft.md 3.3, 3.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import msgspec

from daemon.consensus.port import Entry, EntryKind
from daemon.model.base import Strict, decode, encode
from daemon.model.errors import Conflict, InvalidInput, NotFound

ID_LENGTH_MAX = 128
ADDRESS_LENGTH_MAX = 256
#: more than any cluster has; a set that comes in from outside is refused beyond it.
MEMBERS_MAX = 64


class Member(Strict, frozen=True, kw_only=True, array_like=True):
    """One server. The id is the uuid of its data directory, so that a wiped disk is another member."""

    id: str
    #: opaque to the core.
    address: str = ""
    is_voter: bool = True


class Members(Strict, frozen=True, kw_only=True, array_like=True):
    """A set of servers, sorted by id."""

    members: tuple[Member, ...] = ()


class ChangeKind(IntEnum):
    """What one change does."""

    ADD_NON_VOTER = 0
    PROMOTE = 1
    REMOVE = 2


class MemberChange(Strict, frozen=True, kw_only=True):
    """One change of the members."""

    kind: ChangeKind
    id: str
    address: str = ""


class Config:
    """A set in force: the members, and the index of the entry that brought them."""

    __slots__ = ("ids", "index", "members", "quorum", "voters")

    def __init__(self, index: int, members: Members) -> None:
        self.index = index
        self.members = members
        #: sorted, so that every loop over them has the same order in every process.
        self.ids = tuple(member.id for member in members.members)
        self.voters = tuple(member.id for member in members.members if member.is_voter)
        self.quorum = len(self.voters) // 2 + 1


def members_of(voters: Iterable[str], non_voters: Iterable[str] = ()) -> Members:
    """A set from ids."""
    found = [Member(id=id_) for id_ in voters] + [Member(id=id_, is_voter=False) for id_ in non_voters]
    return checked(Members(members=tuple(sorted(found, key=lambda member: member.id))))


def checked(members: Members) -> Members:
    """The same set, when it can be one.

    Raises: InvalidInput.
    """
    ids = [member.id for member in members.members]
    if ids != sorted(set(ids)):
        raise InvalidInput(f"members must be sorted and named once each; got {ids[:MEMBERS_MAX]}")
    if not 1 <= len(ids) <= MEMBERS_MAX:
        raise InvalidInput(f"a cluster has 1 to {MEMBERS_MAX} members; got {len(ids)}")
    for member in members.members:
        if not 1 <= len(member.id) <= ID_LENGTH_MAX or len(member.address) > ADDRESS_LENGTH_MAX:
            raise InvalidInput(
                f"a member needs an id of 1 to {ID_LENGTH_MAX} characters and an address of at most "
                f"{ADDRESS_LENGTH_MAX}; got {member.id[:ID_LENGTH_MAX]!r}"
            )
    if not any(member.is_voter for member in members.members):
        raise InvalidInput("a cluster needs at least one voter")
    return members


def read_members(data: bytes) -> Members:
    """The members of an entry's data.

    Raises: InvalidInput.
    """
    return checked(decode(data, Members))


def changed(members: Members, change: MemberChange) -> Members:
    """The set after one change.

    Raises: Conflict, NotFound: the change does not fit; InvalidInput: it would leave no voter.
    """
    known = {member.id: member for member in members.members}
    old = known.get(change.id)
    if change.kind is ChangeKind.ADD_NON_VOTER:
        if old is not None:
            raise Conflict(f"server {change.id} is a member already", id=change.id)
        known[change.id] = Member(id=change.id, address=change.address, is_voter=False)
    elif old is None:
        raise NotFound(f"server {change.id} is not a member; members: {', '.join(known)}", id=change.id)
    elif change.kind is ChangeKind.PROMOTE:
        if old.is_voter:
            raise Conflict(f"server {change.id} is a voter already", id=change.id)
        known[change.id] = msgspec.structs.replace(old, is_voter=True)
    else:
        del known[change.id]
    return checked(Members(members=tuple(known[id_] for id_ in sorted(known))))


def first_entry(members: Members) -> Entry:
    """The entry that begins a cluster's log: the same on each of its first servers, with hard state of term 1."""
    return Entry(index=1, term=1, kind=EntryKind.MEMBERS, data=encode(checked(members)))


class MemberHistory:
    """The sets that the log holds, in its order. The last one is in force."""

    def __init__(self, index: int, members: Members, log: Iterable[Entry]) -> None:
        self._configs = [Config(index, members)]
        self.append(log)

    @property
    def latest(self) -> Config:
        """The set in force."""
        return self._configs[-1]

    def append(self, entries: Iterable[Entry]) -> None:
        """Take the sets out of new entries."""
        for entry in entries:
            if entry.kind is EntryKind.MEMBERS:
                self._configs.append(Config(entry.index, read_members(entry.data)))

    def truncate(self, index: int) -> None:
        """Entries from here on are gone."""
        while self._configs[-1].index >= index and len(self._configs) > 1:
            self._configs.pop()

    def compact(self, index: int) -> None:
        """Entries up to here are only in a snapshot now; what was in force there stays known."""
        while len(self._configs) > 1 and self._configs[1].index <= index:
            del self._configs[0]

    def reset(self, index: int, members: Members) -> None:
        """A snapshot replaces the log."""
        self._configs = [Config(index, members)]

    def at(self, index: int) -> Config:
        """What was in force at an index that is not compacted."""
        found = self._configs[0]
        for config in self._configs:
            if config.index <= index:
                found = config
        return found
