"""The traps of the reference's checklist that concern the core, each under its number."""

from __future__ import annotations

from unittest import mock

import msgspec
import pytest

from daemon.consensus.port import Entry, EntryKind, Role
from daemon.consensus.raft import core as core_module
from daemon.consensus.raft.changing import Changing
from daemon.consensus.raft.context import Context
from daemon.consensus.raft.elections import Elections
from daemon.consensus.raft.following import Following
from daemon.consensus.raft.leading import Leading
from daemon.consensus.raft.members import ChangeKind
from daemon.consensus.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    VoteRequest,
    VoteResponse,
    decode_message,
    encode_message,
)
from daemon.consensus.raft.progress import Progress, ProgressState
from daemon.model.errors import PeerFault, Unavailable
from tests.consensus.raft import test_raft_core as core_tests
from tests.consensus.raft.raftmutants import hunt
from tests.consensus.raft.raftscripts import figure_8, read_of_a_leader_that_was, snapshot_race
from tests.consensus.raft.raftstory import ELECTION_MS, Story
from tests.consensus.raft.rafttable import Table
from tests.consensus.raft.test_raft_core import change, cluster


def test_trap12_two_new_servers_do_not_roll_back_a_survivor_of_another_cluster():
    table = cluster()
    survivor = table.a
    survivor.propose(b"kept")
    table.deliver()
    fresh = Table("abc")
    for server in fresh.servers.values():
        server.core._context.cluster_id = "c2"
    fresh.elect("b", "c")
    fresh.b.propose(b"new")
    for receiver, message in [(r, m) for _, r, m in fresh.net]:
        if receiver == "a":
            with pytest.raises(PeerFault, match="cluster 'c2'"):
                survivor.core.step("b", message)
    assert survivor.core.term == 2 and survivor.applied[-1] == b"kept"


def test_trap12_what_is_committed_is_not_overwritten_by_a_leader_that_lacks_it():
    table = cluster()
    a = table.a
    a.propose(b"kept")
    table.deliver()
    evil = Append(
        cluster_id="c1", sender="b", receiver="a", term=9, config_index=1, prev_index=1, prev_term=1, commit=0,
        entries=(Entry(index=2, term=9, kind=EntryKind.NOOP),),
    )  # fmt: skip
    with pytest.raises(PeerFault, match="lost a part of its log"):
        a.core.step("b", evil)
    assert a.core.term_at(2) == 2


@pytest.mark.parametrize("seed", range(5))
def test_trap13_three_servers_that_reboot_together_find_each_other(seed):
    story = Story(seed, hosts=3)
    world = story.world
    world.at(200, story.client)
    world.run(1000)
    state = world.leader().core.commit_index
    assert state > 10
    for host in world.hosts.values():
        host.crash()
    for host in world.hosts.values():
        host.start()
    assert world.run(10 * ELECTION_MS, story.has_served_leader)
    assert world.leader().core.last_index >= state
    story.is_over = True
    world.checker.finish()


@pytest.mark.parametrize("is_written", [False, True])
def test_trap14_a_vote_is_given_only_when_it_is_durable(is_written):
    table = Table("abc")
    b = table.b
    b.is_held = True
    ask = VoteRequest(
        cluster_id="c1", sender="a", receiver="b", term=2, config_index=1, last_index=1, last_term=1
    )
    b.call(b.core.step, "a", ask)
    assert table.net == [], "nothing leaves before the disk has it"
    if is_written:
        b.sync()
        assert [type(m) for _, _, m in table.net] == [VoteResponse]
    b.crash()
    b.start()
    b.is_held = False
    b.call(b.core.step, "c", msgspec.structs.replace(ask, sender="c"))
    votes = [m for _, receiver, m in table.net if receiver == "c"]
    assert [vote.is_granted for vote in votes] == [not is_written]


@pytest.mark.parametrize("mutant", ["ack before fsync", "leader self-ack before fsync"])
def test_trap15_acknowledging_before_the_fsync_is_found(mutant):
    assert hunt(mutant, 60)[0]


def test_trap15_an_acknowledgement_waits_for_the_disk():
    table = cluster()
    table.b.is_held = table.c.is_held = True
    table.a.propose(b"x")
    table.deliver()
    assert table.a.core.commit_index == 2
    table.b.sync()
    table.deliver()
    assert table.a.core.commit_index == 3


def test_trap15_the_leader_counts_itself_only_when_its_disk_has_it():
    table = cluster()
    table.a.is_held = True
    table.a.propose(b"x")
    table.deliver("ab")
    assert table.a.core.commit_index == 2, "b's disk alone is no quorum"
    table.a.sync()
    table.a.work()
    assert table.a.core.commit_index == 3


def test_trap15_an_acknowledgement_is_not_sent_when_its_entries_never_reached_the_disk():
    table = cluster()
    c = table.c
    old = Append(
        cluster_id="c1", sender="a", receiver="c", term=2, config_index=1, prev_index=2, prev_term=2, commit=2,
        entries=(Entry(index=3, term=2, kind=EntryKind.COMMAND), Entry(index=4, term=2, kind=EntryKind.COMMAND)),
    )  # fmt: skip
    new = msgspec.structs.replace(
        old, sender="b", term=3, entries=(Entry(index=3, term=3, kind=EntryKind.NOOP),)
    )
    c.core.step("a", old)
    c.core.step("b", new)  # in the same turn: 3 and 4 of term 2 are gone before they were written
    c.work()
    acks = [(receiver, m.index) for _, receiver, m in table.net if isinstance(m, AppendResponse)]
    assert acks == [("b", 3)]


def test_trap16_figure_8():
    figure_8()


def test_trap17_the_log_is_cut_only_where_it_differs():
    table = cluster()
    a, b = table.a, table.b
    a.propose(*[b"%d" % n for n in range(6)])
    appends = [m for _, receiver, m in table.drop() if receiver == "b" and isinstance(m, Append)]
    (whole,) = appends
    parts = [
        whole,
        msgspec.structs.replace(whole, entries=whole.entries[:2]),
        msgspec.structs.replace(whole, entries=()),
        msgspec.structs.replace(whole, entries=whole.entries[3:], prev_index=5, prev_term=2),
        whole,
    ]
    for message in parts:
        b.call(b.core.step, "a", message)
        assert b.core.last_index == 8 and b.disk.last == 8
    acks = [m.index for _, receiver, m in table.net if receiver == "a" and isinstance(m, AppendResponse)]
    assert acks == [8, 4, 2, 8, 8], "each message is acknowledged for what it has shown, no more"


def test_trap18_a_removed_leader_leaves_and_may_come_back_under_its_id():
    table = cluster()
    a = table.a
    a.call(a.core.propose_change, change(ChangeKind.REMOVE, "a"))
    table.deliver()
    leader = next(server for server in table.servers.values() if server.core.role is Role.LEADER)
    assert leader.id != "a"
    for _ in range(3):
        table.heartbeat(leader.id)
    leader.call(leader.core.propose_change, change(ChangeKind.ADD_NON_VOTER, "a"))
    for _ in range(3):
        table.heartbeat(leader.id)
    assert not a.core.is_removed and a.core.config.ids == tuple("abc")
    leader.call(leader.core.propose_change, change(ChangeKind.PROMOTE, "a"))
    table.deliver()
    assert a.core.config.voters == tuple("abc") and a.state == leader.state


def test_trap18_a_server_removed_while_it_was_cut_off_is_told_so_and_disturbs_nobody():
    table = cluster()
    a, c = table.a, table.c
    a.call(a.core.propose_change, change(ChangeKind.REMOVE, "c"))
    table.deliver("ab")
    assert a.core.commit_index == 3
    c.tick(40)
    table.deliver()
    assert c.core.is_removed and c.core.role is Role.FOLLOWER
    assert a.core.role is Role.LEADER and a.core.term == 2
    c.tick(100)
    assert not [m for sender, _, m in table.drop() if sender == "c"], "it asks no more"


def test_trap18_the_only_holder_of_its_own_removal_can_still_be_elected():
    table = cluster("abc")
    a = table.a
    a.call(a.core.propose_change, change(ChangeKind.REMOVE, "a"))
    table.drop()
    a.crash()
    a.start()
    table.elect("a", "bc", lambda message: isinstance(message, VoteRequest | VoteResponse))
    for _ in range(3):
        table.heartbeat("a")
    assert table.b.core.config.voters == ("b", "c")


def test_trap19_a_non_voter_never_votes_and_a_promoted_one_does():
    table = cluster("abc", "d")
    d = table.d
    d.tick(100)
    assert d.core.role is Role.FOLLOWER and not [m for s, _, m in table.drop() if s == "d"]
    ask = VoteRequest(
        cluster_id="c1", sender="b", receiver="d", term=3, config_index=1, last_index=9, last_term=2
    )
    d.core._context.silence = 1000
    d.call(d.core.step, "b", ask)
    assert [m.is_granted for _, _, m in table.drop()] == [False]
    for _ in range(4):
        table.heartbeat("a")
    table.elect("a")
    for _ in range(3):
        table.heartbeat("a")
    table.a.call(table.a.core.propose_change, change(ChangeKind.PROMOTE, "d"))
    # d itself has not heard of it, but the asker's members are newer
    table.drop()
    d.core._context.silence = 1000
    term = d.core.term + 1
    d.call(
        d.core.step, "b",
        msgspec.structs.replace(ask, term=term, config_index=table.a.core.config.index, last_term=term - 1),
    )  # fmt: skip
    assert [m.is_granted for _, _, m in table.drop()] == [True]


def test_trap19_a_non_voter_does_not_count_for_a_commit():
    table = cluster("abc", "de")
    table.a.propose(b"x")
    table.deliver("ade")
    assert table.a.core.commit_index == 2
    table.a.tick()
    table.deliver("ab")
    table.heartbeat("a", "ab")
    assert table.a.core.commit_index == 3


def test_trap20_a_late_snapshot_takes_nothing_back():
    snapshot_race()


def test_trap20_two_snapshots_in_short_time_while_the_disk_is_busy():
    table = cluster()
    a, c = table.a, table.c
    for n in range(10):
        a.propose(b"%d" % n)
        table.deliver("ab")
    a.snapshot()
    first = a.snapshot_for("c")
    for n in range(10):
        a.propose(b"%d" % n)
        table.deliver("ab")
    a.snapshot()
    second = a.snapshot_for("c")
    c.is_held = True
    c.call(c.core.step, "a", first)
    c.call(c.core.step, "a", second)
    c.call(c.core.step, "a", first)
    assert [m for s, _, m in table.drop() if s == "c" and isinstance(m, AppendResponse)] == []
    c.sync()
    acks = [m.index for s, _, m in table.net if s == "c" and isinstance(m, AppendResponse)]
    assert acks == [12, 22, 22]
    table.deliver()
    for _ in range(3):
        table.heartbeat("a")
    a.propose(b"after")
    table.deliver()
    assert c.state == a.state and c.core.persisted_index == a.core.last_index


def test_trap21_a_leader_whose_disk_is_full_hands_over_and_loses_nothing():
    table = cluster()
    a = table.a
    a.is_held = True
    a.propose(b"x")
    table.deliver()
    assert a.core.commit_index == 3, "the others have it on disk"
    a.full()
    table.deliver()
    leader = next(server for server in table.servers.values() if server.core.role is Role.LEADER)
    assert leader.id != "a" and a.core.role is Role.FOLLOWER
    leader.propose(b"y")
    table.deliver()
    a.tick()  # there is space again: what was refused is offered again, with what came since
    a.sync()
    for _ in range(3):
        table.heartbeat(leader.id)
    assert a.disk.last == leader.disk.last and a.state == leader.state
    assert a.disk.hard_state.term == leader.core.term


def test_trap21_a_full_disk_acknowledges_nothing():
    table = cluster()
    b = table.b
    b.is_held = True
    table.a.propose(b"x")
    table.deliver("ab")
    b.full()
    table.a.tick()
    table.deliver("ab")
    acks = [m for s, _, m in table.net if s == "b" and isinstance(m, AppendResponse)]
    assert acks == [] and table.a.core.commit_index == 2
    b.core.tick()
    b.is_held = False
    for _ in range(3):
        table.heartbeat("a", "ab")
    assert table.a.core.commit_index == 3


def test_trap21_a_snapshot_waits_while_the_disk_is_full():
    table = cluster()
    a, c = table.a, table.c
    for n in range(10):
        a.propose(b"%d" % n)
        table.deliver("ab")
    a.snapshot()
    a.core._context.become_follower(2, "")
    table.elect("a", "b")
    message = a.snapshot_for("c")
    table.drop()
    c.core.not_persisted(c.core.last_index + 1)
    c.call(c.core.step, "a", message)
    assert c.disk.mark.index == 0 and c.disk.hard_state.term == 2, "nothing is offered to a full disk"
    c.tick()
    assert c.disk.mark.index == 12 and c.disk.hard_state.term == a.core.term == 3
    for _ in range(3):
        table.heartbeat("a")
    assert c.state == a.state


def test_trap22_a_transfer_with_writes_in_flight_loses_none():
    table = cluster(append_entries_max=2, window_messages=2)
    a = table.a
    a.propose(*[b"%d" % n for n in range(20)])
    a.call(a.core.transfer, "b")
    with pytest.raises(Unavailable):
        a.propose(b"late")
    table.deliver()
    assert table.b.core.role is Role.LEADER
    for _ in range(3):
        table.heartbeat("b")
    assert all(server.state == table.b.state for server in table.servers.values())
    assert table.b.core.commit_index == 23


def test_trap23_a_paused_leader_that_returns_serves_no_old_read():
    read_of_a_leader_that_was()


def test_trap23_a_new_leader_serves_no_read_before_it_has_committed():
    table = cluster()
    table.a.propose(b"x")
    table.deliver("ab")  # committed by a; b does not know yet
    table.elect("b", "c", lambda message: not isinstance(message, Append))
    b = table.b
    b.core.read_index(1)
    b.work()
    table.deliver("bc", lambda message: not isinstance(message, Append))
    assert b.reads == []
    for _ in range(2):
        table.heartbeat("b", "bc")
    assert [(context, index >= 3) for context, index in b.reads] == [(1, True)]


def test_trap24_a_server_that_hears_nobody_unseats_nobody():
    table = cluster()
    c = table.c
    for _ in range(50):
        table.a.tick()
        table.b.tick()
        c.tick()
        # c's words arrive everywhere, but it hears nothing
        table.net = [m for m in table.net if m[1] != "c"]
        table.deliver()
    assert table.a.core.role is Role.LEADER and table.a.core.term == 2
    assert c.core.term == 2


def test_trap24_a_question_changes_nothing_for_the_asked():
    table = cluster()
    b = table.b
    b.tick(7)
    context = b.core._context
    before = (context.term, context.vote, context.elapsed, context.silence, context.timeout, context.leader)
    ask = VoteRequest(
        cluster_id="c1",
        sender="c",
        receiver="b",
        term=3,
        config_index=1,
        last_index=9,
        last_term=2,
        is_pre=True,
    )
    b.call(b.core.step, "c", ask)
    context.silence = 100
    b.call(b.core.step, "c", ask)
    assert [m.is_granted for _, r, m in table.net if r == "c"] == [True]
    context.silence = before[3]
    assert before == (
        context.term, context.vote, context.elapsed, context.silence, context.timeout, context.leader
    )  # fmt: skip


def test_trap24_a_follower_grants_the_question_of_its_own_leader():
    table = cluster()
    table.a.core._context.become_follower(2, "")
    table.a.call(table.a.core.campaign)
    table.deliver("ab")
    assert table.a.core.role is Role.LEADER


def test_trap25_queues_are_bounded_where_they_grow():
    table = cluster(uncommitted_bytes_max=100, window_messages=4, append_entries_max=1, reads_max=3)
    a = table.a
    with pytest.raises(Unavailable):
        for _ in range(1000):
            a.propose(b"." * 10)
    with pytest.raises(Unavailable):
        for n in range(1000):
            a.core.read_index(n)
    assert len([m for _, r, m in table.net if r == "b" and isinstance(m, Append)]) <= 4


def test_trap27_a_message_of_a_kind_not_known_yet_is_refused_and_does_no_harm():
    table = cluster()
    known = encode_message(
        Heartbeat(cluster_id="c1", sender="a", receiver="b", term=2, config_index=1, commit=0, round=1)
    )
    tag, *fields = msgspec.msgpack.decode(known)
    with pytest.raises(PeerFault, match="not a raft message that this version knows"):
        decode_message(msgspec.msgpack.encode([99, *fields]))
    longer = decode_message(msgspec.msgpack.encode([tag, *fields, "a later version's field"]))
    table.b.core.step("a", longer)
    assert table.b.core.leader == "a"


def test_trap28_a_server_whose_disk_was_wiped_is_refused_under_its_old_id():
    table = cluster()
    table.a.propose(b"x")
    table.deliver()
    table.b.crash()
    again = table.join("b")
    ask = VoteRequest(
        cluster_id="c1", sender="c", receiver="b", term=2, config_index=1, last_index=9, last_term=2
    )
    again.call(again.core.step, "c", ask)
    assert [m.is_granted for _, _, m in table.drop()] == [False], "it may have voted before"
    for _ in range(3):
        table.heartbeat("a")
    assert "join with an empty data directory" in again.core.fault
    assert again.core.last_index == 0, "the leader still counts on what it had"


def test_trap28_lost_entries_are_noticed_by_the_server_itself():
    table = cluster()
    b = table.b
    table.join("b")
    table.b.call(
        table.b.core.step, "a",
        Heartbeat(cluster_id="c1", sender="a", receiver="b", term=2, config_index=1, commit=2, round=0),
    )  # fmt: skip
    assert "has lost what was on it" in table.b.core.fault
    assert b.core is not table.b.core
    table.b.tick(100)
    assert table.drop() == []


def _asks_change_the_timer(self, message):
    self._context.rearm()
    self._context.silence = 0
    return _on_request(self, message)


def _tell_at_once(self):
    if self.successor and not self._is_told:
        self._is_told = True
        self._tell(self.successor)


_on_request = Elections.on_request

#: rules whose loss costs liveness or tells later; each has a test above or in test_raft_core.py that sees it.
LOSSES = {
    "no check of the quorum": (
        Leading, "_has_quorum", lambda self: True, core_tests.test_a_leader_without_a_quorum_steps_down,
    ),
    "votes while a leader lives": (
        Context, "hears_leader", lambda self, asker: False, core_tests.test_votes_are_not_given_while_a_leader_lives,
    ),
    "a question resets the timer": (
        Elections, "on_request", _asks_change_the_timer, test_trap24_a_question_changes_nothing_for_the_asked,
    ),
    "non-voters vote": (
        Elections, "_may_vote", lambda self, message: True, test_trap19_a_non_voter_never_votes_and_a_promoted_one_does,
    ),
    "the removed are not told": (
        Elections, "_knows_removed", lambda self, message: False,
        test_trap18_a_server_removed_while_it_was_cut_off_is_told_so_and_disturbs_nobody,
    ),
    "a removed leader stays": (
        Changing, "leave_if_removed", lambda self: None, core_tests.test_a_leader_removes_itself_and_hands_over,
    ),
    "promotion of one that lags": (
        Changing, "_check_caught_up", lambda self, server_id: None,
        core_tests.test_a_member_joins_without_a_vote_catches_up_and_is_promoted,
    ),
    "a successor is told too early": (
        Changing, "flush", _tell_at_once,
        core_tests.test_leadership_is_handed_over_when_the_successor_has_everything,
    ),
    "a window without end": (
        Progress, "has_room", property(lambda self: self.state is not ProgressState.SNAPSHOT and not self.is_paused),
        core_tests.test_appends_are_pipelined_within_the_window,
    ),
    "what is lost is not missed": (
        Leading, "_send_empty", lambda self, peer: None, core_tests.test_a_lost_append_is_found_and_sent_again,
    ),
    "everything is acknowledged": (
        Following, "_acknowledge",
        lambda self, leader, index: _acknowledge(self, leader, self._context.log.last_index),
        test_trap17_the_log_is_cut_only_where_it_differs,
    ),
    "nobody validates": (
        core_module, "validate", lambda *arguments: None,
        core_tests.test_messages_that_cannot_be_are_refused_and_change_nothing,
    ),
}  # fmt: skip
_acknowledge = Following._acknowledge


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_of_a_rule_is_seen(loss):
    owner, name, value, test = LOSSES[loss]
    test()
    with mock.patch.object(owner, name, value), pytest.raises((Exception, pytest.fail.Exception)):
        test()
