"""The core by scripts: what each of its rules does, one at a time."""

from __future__ import annotations

import pytest

from daemon.consensus.port import Entry, EntryKind, HardState, Role, SnapshotMark
from daemon.consensus.raft.core import RaftCore
from daemon.consensus.raft.members import ChangeKind, MemberChange, members_of
from daemon.consensus.raft.messages import Append, AppendResponse, Heartbeat, TimeoutNow, VoteRequest
from daemon.consensus.raft.progress import ProgressState
from daemon.consensus.single import SingleServer
from daemon.model.errors import Conflict, InvalidInput, NotFound, NotLeader, PeerFault, Unavailable
from tests.consensus.raft.rafttable import Table


def cluster(voters="abc", non_voters="", **options):
    """A table whose server a leads, with everybody in step."""
    table = Table(voters, non_voters, **options)
    table.elect("a")
    for _ in range(3):
        table.heartbeat("a")
    return table


def change(kind, id_):
    return MemberChange(kind=kind, id=id_)


def test_three_servers_elect_and_write():
    table = cluster()
    indexes = table.a.propose(b"x", b"y")
    table.deliver()
    assert indexes == range(3, 5)
    for server in table.servers.values():
        assert server.applied == [b"", b"x", b"y"] or server.applied[-2:] == [b"x", b"y"]
        assert server.core.leader == "a"


def test_one_voter_behaves_like_the_single_server_core():
    log = [Entry(index=n, term=1, kind=EntryKind.COMMAND, data=b"%d" % n) for n in (5, 6)]
    mark = SnapshotMark(index=4, term=1)
    single = SingleServer("a", HardState(term=3), 4, 6, log)
    raft = RaftCore(
        "a",
        "c1",
        draw=lambda below: 0,
        hard_state=HardState(term=3),
        log=log,
        mark=mark,
        members=members_of("a"),
    )
    for core in (single, raft):
        core.campaign()
    for act in (
        lambda core: None,
        lambda core: core.persisted(7, 4),
        lambda core: core.applied(7),
        lambda core: core.propose([b"x", b"y"]),
        lambda core: core.read_index(9),
        lambda core: core.persisted(9, 3),
        lambda core: core.persisted(9, 4),
        lambda core: core.tick(),
        lambda core: core.applied(9),
    ):
        assert act(single) == act(raft)
        assert single.take() == raft.take()
        for fact in ("role", "term", "last_index", "commit_index"):
            assert getattr(single, fact) == getattr(raft, fact)


def test_a_follower_names_the_leader():
    table = cluster()
    with pytest.raises(NotLeader, match="ask a") as caught:
        table.b.propose(b"x")
    assert caught.value.details == {"leader": "a"}
    with pytest.raises(NotLeader):
        table.b.core.read_index(1)


def test_proposals_of_one_turn_travel_together():
    table = cluster()
    for n in range(20):
        table.a.core.propose([b"%d" % n])
    table.a.work()
    appends = [message for _, _, message in table.net if isinstance(message, Append)]
    assert [len(message.entries) for message in appends] == [20, 20]


def test_appends_are_pipelined_within_the_window():
    table = cluster(append_entries_max=2, window_messages=3)
    table.a.propose(*[b"x"] * 20)
    to_b = [message for _, receiver, message in table.net if receiver == "b"]
    assert [message.entries[0].index for message in to_b] == [3, 5, 7]
    table.deliver()
    assert table.b.core.commit_index == 22


def test_the_window_counts_bytes_too():
    table = cluster(append_bytes_max=100, window_bytes=250)
    table.a.propose(*[b"." * 90] * 10)
    assert len([m for _, receiver, m in table.net if receiver == "b"]) == 3
    table.deliver()
    assert table.b.core.commit_index == 12


def test_a_lost_append_is_found_and_sent_again():
    table = cluster()
    table.a.propose(b"x")
    table.drop()
    for _ in range(3):
        table.heartbeat("a")
    assert table.b.applied[-1] == b"x"


def test_a_reject_skips_a_whole_term():
    def core(id_, term, *runs):
        terms = [term_ for term_, count in runs for _ in range(count)]
        log = [Entry(index=n, term=t, kind=EntryKind.COMMAND) for n, t in enumerate(terms, 1)]
        return RaftCore(
            id_,
            "c1",
            draw=lambda below: 0,
            hard_state=HardState(term=term),
            log=log,
            members=members_of("ab"),
        )

    cores = {"a": core("a", 4, (1, 1), (4, 99)), "b": core("b", 3, (1, 1), (2, 30), (3, 30))}
    cores["a"].campaign()
    rejects = 0
    for _ in range(40):
        for core_ in cores.values():
            ready = core_.take()
            if ready.entries:
                core_.persisted(ready.entries[-1].index, ready.entries[-1].term)
            for receiver, message in ready.messages_before_sync + ready.messages_after_sync:
                cores[receiver].step(core_.server_id, message)
                rejects += isinstance(message, AppendResponse) and message.is_rejected
    assert cores["b"].last_index == cores["a"].last_index == 101
    assert cores["b"].term_at(61) == 4
    assert rejects <= 3


def test_a_leader_without_a_quorum_steps_down():
    table = cluster()
    table.a.core.read_index(5)
    table.a.tick(25)
    table.drop()
    assert table.a.core.role is Role.FOLLOWER
    assert table.a.lost_reads == [5]


def test_votes_are_not_given_while_a_leader_lives():
    table = cluster()
    b, c = table.b, table.c
    c.call(c.core.campaign)
    table.deliver("bc")
    assert c.core.role is Role.CANDIDATE and c.core.term == 2
    assert b.core.leader == "a"


def test_a_stale_leader_learns_of_the_later_term():
    table = cluster()
    table.elect("b", "c")
    assert table.a.core.role is Role.LEADER
    table.heartbeat("a")
    assert table.a.core.role is Role.FOLLOWER and table.a.core.term == table.b.core.term


def test_too_much_uncommitted_is_refused_as_busy():
    table = cluster(uncommitted_bytes_max=1000)
    table.a.propose(b"." * 600)
    table.a.propose(b"." * 600)
    with pytest.raises(Unavailable) as caught:
        table.a.propose(b"x")
    assert caught.value.details["retry_after_s"] == 1
    table.deliver()
    table.a.propose(b"x")


def test_applying_is_bounded():
    core = RaftCore("a", "c1", draw=lambda below: 0, hard_state=HardState(), members=members_of("a"))
    core.campaign()
    core.propose([b"x"] * 10_000)
    core.take()
    core.persisted(10_001, 1)
    assert len(core.take().committed) == 4096
    assert core.take().committed == ()
    core.applied(4000)
    assert len(core.take().committed) == 4000


def test_reads_share_a_round_and_need_a_quorum():
    table = cluster()
    a = table.a
    for question in (1, 2, 3):
        a.core.read_index(question)
    a.work()
    assert a.reads == []
    assert len([m for _, _, m in table.net if isinstance(m, Heartbeat)]) == 2
    table.deliver("ab")
    assert a.reads == [(1, 2), (2, 2), (3, 2)]


def test_too_many_reads_are_refused():
    table = cluster(reads_max=2)
    table.a.core.read_index(1)
    table.a.core.read_index(2)
    with pytest.raises(Unavailable):
        table.a.core.read_index(3)


def test_a_member_joins_without_a_vote_catches_up_and_is_promoted():
    table = cluster()
    d = table.join("d")
    a = table.a
    a.propose(*[b"x"] * 300)
    table.deliver()
    a.call(a.core.propose_change, change(ChangeKind.ADD_NON_VOTER, "d"))
    with pytest.raises(Unavailable, match="not committed yet"):
        a.core.propose_change(change(ChangeKind.REMOVE, "b"))
    table.drop()
    for _ in range(2):
        table.heartbeat("a", "abc")
    with pytest.raises(Unavailable, match="entries behind"):
        a.core.propose_change(change(ChangeKind.PROMOTE, "d"))
    for _ in range(4):
        table.heartbeat("a")
    assert d.applied[-1] == a.applied[-1]
    a.call(a.core.propose_change, change(ChangeKind.PROMOTE, "d"))
    table.deliver()
    assert all(server.core.config.voters == tuple("abcd") for server in table.servers.values())
    assert d.core.config.quorum == 3


@pytest.mark.parametrize(
    "kind, id_, error",
    [
        (ChangeKind.ADD_NON_VOTER, "b", Conflict),
        (ChangeKind.ADD_NON_VOTER, "", InvalidInput),
        (ChangeKind.PROMOTE, "b", Conflict),
        (ChangeKind.PROMOTE, "x", NotFound),
        (ChangeKind.REMOVE, "x", NotFound),
    ],
)
def test_changes_that_do_not_fit_are_refused(kind, id_, error):
    table = cluster()
    with pytest.raises(error):
        table.a.core.propose_change(change(kind, id_))
    assert table.a.core.last_index == 2


def test_the_last_voter_stays():
    table = cluster("a")
    with pytest.raises(InvalidInput):
        table.a.core.propose_change(change(ChangeKind.REMOVE, "a"))


def test_a_leader_removes_itself_and_hands_over():
    table = cluster()
    a = table.a
    a.call(a.core.propose_change, change(ChangeKind.REMOVE, "a"))
    a.propose(b"last")
    assert a.core.role is Role.LEADER
    table.deliver()
    assert a.core.role is Role.FOLLOWER and a.core.is_removed
    leaders = [server for server in table.servers.values() if server.core.role is Role.LEADER]
    assert len(leaders) == 1 and leaders[0].core.config.voters == ("b", "c")
    assert leaders[0].applied.count(b"last") == 1
    a.tick(100)
    assert a.core.role is Role.FOLLOWER


def test_leadership_is_handed_over_when_the_successor_has_everything():
    table = cluster()
    a = table.a
    a.propose(b"x")
    assert a.call(a.core.transfer, "c") == "c"
    with pytest.raises(Unavailable):
        a.propose(b"y")
    assert not any(isinstance(message, TimeoutNow) for _, _, message in table.net)
    table.deliver()
    assert table.c.core.role is Role.LEADER and a.core.leader == "c"


def test_a_successor_that_does_not_come_is_given_up():
    table = cluster()
    a = table.a
    a.call(a.core.transfer, "c")
    table.drop()
    for _ in range(12):
        table.heartbeat("a", "ab")
    assert a.core.role is Role.LEADER and a.core.successor == ""
    a.propose(b"y")


@pytest.mark.parametrize("to", ["a", "x", "d"])
def test_leadership_goes_to_another_voter_only(to):
    table = cluster("abc", "d")
    with pytest.raises(InvalidInput):
        table.a.core.transfer(to)


def test_a_lagging_server_gets_a_snapshot_and_goes_on():
    table = cluster()
    a, c = table.a, table.c
    for n in range(30):
        a.propose(b"%d" % n)
        table.deliver("ab")
    a.snapshot(keep=5)
    for _ in range(3):
        table.heartbeat("a")
    assert [server for server, _ in a.wanted] == ["c"]
    assert {peer.id: peer.state for peer in a.core.peers}["c"] is ProgressState.SNAPSHOT
    table.install("a", "c")
    table.deliver()
    a.propose(b"more")
    table.deliver()
    assert c.applied[-1] == b"more" and c.state == a.state
    c.crash()
    c.start()
    assert c.core.commit_index == 32 and c.core.config.voters == tuple("abc")


def test_a_snapshot_that_could_not_be_sent_is_wanted_again():
    table = cluster()
    a = table.a
    a.propose(*[b"x"] * 10)
    table.deliver("ab")
    a.snapshot()
    for _ in range(3):
        table.heartbeat("a")
    a.call(a.core.report_snapshot, "c", False)
    assert len(a.wanted) == 1
    for _ in range(2):
        table.heartbeat("a")
    assert len(a.wanted) == 2


def test_the_fault_of_a_disk_ends_a_leadership_for_good():
    table = cluster()
    a = table.a
    a.call(a.core.disk_failed, "fsync: EIO")
    table.deliver()
    assert a.core.role is Role.FOLLOWER and "restart it" in a.core.fault
    leaders = [server.id for server in table.servers.values() if server.core.role is Role.LEADER]
    assert len(leaders) == 1 and leaders != ["a"]
    a.tick(100)
    assert table.drop() == [] and a.core.role is Role.FOLLOWER


def test_messages_that_cannot_be_are_refused_and_change_nothing():
    table = cluster()
    b = table.b
    head = {"cluster_id": "c1", "sender": "a", "receiver": "b", "term": 2, "config_index": 1}
    bad = [
        "text",
        Heartbeat(**{**head, "cluster_id": "c2"}, commit=0, round=0),
        Heartbeat(**{**head, "sender": "c"}, commit=0, round=0),
        Heartbeat(**{**head, "receiver": "c"}, commit=0, round=0),
        Heartbeat(**{**head, "term": 0}, commit=0, round=0),
        Heartbeat(**{**head, "term": 1 << 62}, commit=0, round=0),
        Heartbeat(**head, commit=-1, round=0),
        Append(**head, prev_index=-5, prev_term=1, commit=0),
        Append(**head, prev_index=5, prev_term=9, commit=0),
        Append(**head, prev_index=5, prev_term=0, commit=0),
        Append(**head, prev_index=2, prev_term=2, commit=0,
               entries=(Entry(index=4, term=2, kind=EntryKind.COMMAND),)),
        Append(**head, prev_index=2, prev_term=2, commit=0,
               entries=(Entry(index=3, term=1, kind=EntryKind.COMMAND),)),
        Append(**head, prev_index=2, prev_term=2, commit=0,
               entries=(Entry(index=3, term=2, kind=EntryKind.MEMBERS, data=b"?"),)),
        VoteRequest(**head, last_index=1, last_term=7),
    ]  # fmt: skip
    before = (b.core.term, b.core.commit_index, b.core.last_index, b.core.leader)
    for message in bad:
        with pytest.raises(PeerFault):
            b.core.step("a", message)
    assert (b.core.term, b.core.commit_index, b.core.last_index, b.core.leader) == before
    with pytest.raises(PeerFault, match="acknowledges entry 99"):
        table.a.core.step("b", AppendResponse(**{**head, "sender": "b", "receiver": "a"}, index=99))
