"""Scripts for what chance does not find: each raises Violation (or another error) when its rule is broken."""

from __future__ import annotations

from daemon.consensus.port import Entry, EntryKind, SnapshotMark
from daemon.consensus.raft.log import RaftLog
from daemon.consensus.raft.members import ChangeKind, MemberChange
from daemon.consensus.raft.messages import Append, VoteRequest, VoteResponse
from daemon.model.errors import Unavailable
from tests.consensus.raft.raftcheck import Violation
from tests.consensus.raft.rafttable import Table


def need(condition, what):
    if not condition:
        raise Violation(what)


def votes_only(message):
    return type(message) in (VoteRequest, VoteResponse)


def figure_8():
    """A copy of an older term's entry on a majority is not committed, because it may still be overwritten."""
    table = Table("abcde", append_entries_max=1)
    a, c, e = table.a, table.c, table.e
    table.elect("a", "abc", votes_only)
    table.heartbeat("a", "ab")  # entry 2 of term 2 is on a and b
    need(table.b.core.last_index == 2, "entry 2 reached b")
    a.crash()
    table.elect("e", "cd", votes_only)  # entry 2 of term 3 is on e alone
    need(e.core.term_at(2) == 3, "e holds an entry 2 of term 3")
    e.crash()
    table.drop()
    a.start()
    table.elect("a", "bc", votes_only)  # term 4
    for _ in range(6):  # until entry 2 of term 2, but not entry 3 of term 4, is on c
        a.tick()
        table.deliver(
            "abc",
            lambda m: (
                type(m) is not Append
                or m.receiver != "c"
                or c.core.last_index < m.prev_index
                or not any(x.term == 4 for x in m.entries)
            ),
        )
    need(c.core.term_at(2) == 2 and c.core.last_index == 2, "entry 2 of term 2 reached c")
    a.crash()
    table.drop()
    e.start()
    table.elect("e", "cd")  # its log is newer than those of c and d, and it overwrites entry 2
    need(c.core.commit_index >= 2, "the cluster goes on")


def stale_tail():
    """The commit index follows only what the message itself has shown to be equal."""
    table = Table("abc")
    a, c = table.a, table.c
    table.elect("a")
    table.drop()
    c.core._context.silence = 1000
    a.propose(b"x", b"y", b"z")  # 3, 4, 5 of term 2, on a and b only after this
    table.deliver("ab")
    table.heartbeat("a", "ab")
    stale = [Entry(index=n, term=2, kind=EntryKind.COMMAND, data=b"old") for n in (3, 4)]
    # c holds a tail of a leader that never committed it (its own test of the rule, not a history of this table)
    c.core._context.append(tuple(stale))
    noop = a.disk.log[2]
    message = Append(
        cluster_id="c1", sender="a", receiver="c", term=2, config_index=1,
        prev_index=1, prev_term=1, commit=5, entries=(noop,),
    )  # fmt: skip
    c.core.step("a", message)
    need(c.core.commit_index == 2, f"c commits {c.core.commit_index} by a message that reaches to 2")


def config_race():
    """Two leaders in turn change the same members; without a commit of its own term the second would lose the first."""
    table = Table("abcd", "e")
    a, b = table.a, table.b
    table.elect("a")
    table.heartbeat("a")
    table.heartbeat("a")
    a.call(a.core.propose_change, MemberChange(kind=ChangeKind.PROMOTE, id="e"))
    table.deliver("ae")  # only a and e know
    need(table.e.core.config.voters == tuple("abcde"), "e knows that it votes")
    table.elect("b", "cd", votes_only)
    try:
        b.call(b.core.propose_change, MemberChange(kind=ChangeKind.REMOVE, id="a"))
    except Unavailable:
        pass
    for _ in range(4):
        b.tick()
        table.deliver("bc")  # with a removed, b and c are a majority of b, c, d
    a.tick(30)
    table.elect("a", "de", votes_only)


def rolled_back_members():
    """Members whose entry is truncated are in force no more."""
    table = Table("abc")
    a = table.a
    table.elect("a")
    table.heartbeat("a")
    a.call(a.core.propose_change, MemberChange(kind=ChangeKind.REMOVE, id="c"))
    table.drop()
    need(a.core.config.voters == ("a", "b"), "in force when appended")
    table.elect("b", "c")
    a.core._context.become_follower(a.core.term, "")
    for _ in range(5):
        table.heartbeat("b")
    need(a.core.config.voters == ("a", "b", "c"), f"a still goes by {a.core.config.voters}")


def snapshot_race():
    """A late snapshot does not take back acknowledged entries beyond it."""
    table = Table("abc")
    a, b = table.a, table.b
    table.elect("a", "c")
    a.propose(b"1", b"2", b"3")
    table.deliver("ac")
    a.snapshot()
    late = a.snapshot_for("b")
    a.propose(b"4", b"5")
    # b gets all entries, on disk and acknowledged, but no word yet that anything is committed
    entries = tuple(a.disk.log.get(n) or table.c.disk.log[n] for n in range(2, 8))
    b.call(
        b.core.step, "a",
        Append(cluster_id="c1", sender="a", receiver="b", term=2, config_index=1, prev_index=1, prev_term=1,
               commit=1, entries=entries),
    )  # fmt: skip
    need(b.disk.last == 7 and b.core.commit_index == 1, "b has acknowledged 7")
    b.call(b.core.step, "a", late)
    need(b.core.commit_index == 5, "the snapshot tells what is committed")
    need(b.core.last_index == 7 and b.disk.reach() == 7, f"b has lost entries: ends at {b.core.last_index}")


def late_word():
    """A write that was outrun by a truncation does not count, even when an equal entry has come back."""
    log = RaftLog(SnapshotMark(index=0, term=0), ())

    def put(term, *indexes):
        log.append([Entry(index=n, term=term, kind=EntryKind.COMMAND) for n in indexes])
        return log.take_unwritten()

    put(2, 1, 2)
    log.truncate(2)
    put(3, 2)
    log.truncate(2)
    put(2, 2)
    need(log.persisted(2, 2), "a write of this end was given out")
    need(log.persisted_index == 1, f"persisted {log.persisted_index} while two truncations are on their way")
    need(log.persisted(2, 3) and log.persisted_index == 1, "the second is outrun too")
    need(log.persisted(2, 2) and log.persisted_index == 2, "the third stands")
    need(not log.persisted(2, 2), "no such write")


def longer_but_older():
    """A longer log of an older term is not up to date."""
    table = Table("abc")
    a = table.a
    table.elect("a", "b", votes_only)
    a.propose(*[b"x"] * 5)  # on a alone
    a.crash()
    table.elect("b", "c")
    table.heartbeat("b", "bc")
    need(table.b.core.commit_index == 2, "b and c commit an entry of term 3")
    b = table.b
    b.crash()
    table.drop()
    a.start()
    for _ in range(3):
        table.c.core._context.silence = 1000
        a.call(a.core.campaign)
        table.deliver("ac", votes_only)
    need(not table.leads("a"), "a was elected over a newer log")


def read_of_a_leader_that_was():
    """A leader that was replaced, and does not know it, serves no read."""
    table = Table("abc")
    a, b = table.a, table.b
    table.elect("a")
    table.heartbeat("a")
    table.elect("b", "c")
    b.propose(b"new")
    table.heartbeat("b", "bc")
    need(table.leads("a") and table.leads("b"), "two leaders of two terms")
    a.core.read_index(1)
    a.work()
    need(a.reads == [], "a serves a read that does not see what b has written")
    table.deliver()
    need(a.reads == [] and a.lost_reads == [1], "the read is lost when a learns of b")


SCRIPTS = {
    "index-only up-to-date": longer_but_older,
    "read without a round": read_of_a_leader_that_was,
    "older term committed by counting": figure_8,
    "follower commit not capped": stale_tail,
    "change before the term's first commit": config_race,
    "members not rolled back": rolled_back_members,
    "snapshot always resets the log": snapshot_race,
    "late word of the disk counts": late_word,
}
