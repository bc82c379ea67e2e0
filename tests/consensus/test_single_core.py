"""The single-server core, by scripts."""

from __future__ import annotations

import pytest

from daemon.consensus.port import Entry, EntryKind, HardState, Role
from daemon.consensus.single import SingleServer
from daemon.model.errors import InvariantBroken, NotLeader, PeerFault


def entry(index, term=1, data=b""):
    return Entry(index=index, term=term, kind=EntryKind.COMMAND if data else EntryKind.NOOP, data=data)


def leader(log=(), applied=0):
    core = SingleServer("me", HardState(term=3), applied, log[-1].index if log else applied, log)
    core.campaign()
    return core


def test_a_new_term_commits_what_the_log_held():
    core = leader((entry(5, data=b"a"), entry(6, data=b"b")), applied=4)
    ready = core.take()
    assert ready.hard_state == HardState(term=4, vote="me")
    assert ready.entries == (entry(7, term=4),)
    assert ready.committed == ()
    assert core.role is Role.LEADER
    core.persisted(7, 4)
    ready = core.take()
    assert [e.index for e in ready.committed] == [5, 6, 7]
    assert not ready.to_persist
    core.applied(7)
    assert core.take().committed == ()


def test_proposals_commit_when_they_are_on_disk():
    core = leader()
    core.take()
    core.persisted(1, 4)
    core.take()
    assert core.propose([b"a", b"b"]) == range(2, 4)
    core.read_index(77)
    ready = core.take()
    assert [e.data for e in ready.entries] == [b"a", b"b"]
    assert ready.reads == ((77, 1),)
    core.persisted(2, 4)
    assert [e.index for e in core.take().committed] == [2]
    core.persisted(3, 3)  # a word of another term does not count
    assert core.take().committed == ()
    core.persisted(3, 4)
    assert core.commit_index == 3


def test_what_the_disk_refused_is_forgotten():
    core = leader()
    core.take()
    core.persisted(1, 4)
    core.propose([b"a", b"b"])
    core.take()
    core.not_persisted(2)
    assert core.last_index == 1
    assert core.propose([b"c"]) == range(2, 3)
    assert [e.data for e in core.take().entries] == [b"c"]
    with pytest.raises(InvariantBroken):
        core.not_persisted(1)


def test_refusals():
    core = SingleServer("me", HardState(), 0, 0, ())
    with pytest.raises(NotLeader):
        core.propose([b"a"])
    with pytest.raises(PeerFault):
        core.step("you", object())
    core.campaign()
    with pytest.raises(InvariantBroken):
        core.campaign()
    with pytest.raises(InvariantBroken):
        core.applied(9)
