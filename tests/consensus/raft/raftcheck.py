"""Checkers of the simulated cluster: the paper's properties after every step of any server.

Log matching is checked by induction: an (index, term) always has the same data and the same term before it.
"Committed" is what a leader says first; from then on it is a fact about the whole world.
"""

from __future__ import annotations

from zlib import crc32

from daemon.consensus.port import EntryKind, Role
from daemon.consensus.raft.members import read_members
from daemon.consensus.raft.messages import AppendResponse, VoteResponse


class Violation(AssertionError):
    """A property does not hold."""


def chained(digest, entry):
    return crc32(b"%d %d %d " % (entry.index, entry.term, entry.kind) + entry.data, digest)


class Checker:
    def __init__(self, world):
        self.world = world
        self.leaders = {}
        self.votes = {}
        self.entries = {}
        #: index -> (term, data), and the chained digest of all up to there.
        self.committed = {}
        self.chain = {0: 0}
        #: index -> term of the leader that committed it: leaders of later terms must have it.
        self.commit_terms = {}
        self.last_committed = 0
        self.acked_index = 0
        self.acked = {}
        self.configs = {}

    def fail(self, rule, host, what):
        raise Violation(f"seed {self.world.seed} at {self.world.now}: {rule}: {host.id}: {what}")

    def after(self, host):
        """After each call of a core; everything here costs the same however long the log is."""
        core = host.core
        seen = host.seen
        term, role, last, commit = core.term, core.role, core.last_index, core.commit_index
        if term < seen.term:
            self.fail("terms never go back", host, f"{term} after {seen.term}")
        if commit < seen.commit:
            self.fail("the commit index never goes back", host, f"{commit} after {seen.commit}")
        if role is Role.LEADER:
            if seen.role is not Role.LEADER or seen.term != term:
                self._elected(host)
            elif last < seen.last or core.term_at(seen.last) != seen.last_term:
                self.fail("leader append-only", host, f"log ends at {last} after {seen.last}")
            if commit > seen.commit:
                self._on_disks(host, commit)
        if core.config.index != seen.config:
            self._config(host)
            seen.config = core.config.index
        if commit > seen.commit:
            self._commit(host, seen.commit, commit)
        seen.term, seen.role, seen.last, seen.commit = term, role, last, commit
        seen.last_term = core.term_at(last)

    def _elected(self, host):
        core = host.core
        other = self.leaders.setdefault(core.term, host.id)
        if other != host.id:
            self.fail("election safety", host, f"leads in term {core.term} like {other}")
        last = self.last_committed
        while last and self.commit_terms[last] >= core.term:
            last -= 1
        if last > core.last_index:
            self.fail("leader completeness", host, f"ends at {core.last_index}, {last} is committed")
        held = core.term_at(last)
        if last and held not in (-1, self.committed[last][0]):
            self.fail(
                "leader completeness", host, f"has {last} of term {held}, not {self.committed[last][0]}"
            )
        if not core._context.may_stand:
            self.fail("only voters lead", host, f"voters {core.config.voters}")

    def _on_disks(self, host, commit):
        core = host.core
        term = core.term_at(commit)
        if commit <= self.last_committed:
            return
        holders = [voter for voter in core.config.voters if self.world.hosts[voter].disk.holds(commit, term)]
        if len(holders) < core.config.quorum:
            self.fail("committed is on a quorum's disks", host, f"{commit} of term {term} is on {holders}")

    def _commit(self, host, old, new):
        core = host.core
        log = core._context.log
        for index in range(max(old, log.mark_index) + 1, new + 1):
            entry = log.slice(index, index, 1, 1)[0]
            known = self.committed.get(index)
            if known is None:
                if index != self.last_committed + 1:
                    self.fail("no gaps", host, f"commits {index} after {self.last_committed}")
                self.committed[index] = (entry.term, entry.data)
                self.chain[index] = chained(self.chain[index - 1], entry)
                self.commit_terms[index] = core.term
                self.last_committed = index
                if entry.kind is EntryKind.MEMBERS:
                    self._sequence(host, index, read_members(entry.data))
            elif known != (entry.term, entry.data):
                self.fail("state machine safety", host, f"{index} is {entry.term}, was {known[0]}")

    def _sequence(self, host, index, members):
        voters = {member.id for member in members.members if member.is_voter}
        if self.configs:
            before = self.configs[max(self.configs)]
            if len(before ^ voters) > 1:
                self.fail("one server at a time", host, f"{sorted(before)} -> {sorted(voters)} at {index}")
        self.configs[index] = voters

    def _config(self, host):
        core = host.core
        # what is committed may not be known as such here yet
        open_ = [c.index for c in core._context.history._configs if c.index > self.last_committed]
        if len(open_) > 1:
            self.fail("one change at a time", host, f"entries {open_} are not committed")

    def ready(self, host, ready):
        if ready.entries:
            first = ready.entries[0].index
            prev_term = host.core.term_at(first - 1)
            for entry in ready.entries:
                key = (entry.index, entry.term)
                value = (prev_term, entry.kind, entry.data)
                known = self.entries.setdefault(key, value)
                if known != value and -1 not in (known[0], prev_term):
                    self.fail("log matching", host, f"{key} has two forms: {known} and {value}")
                prev_term = entry.term

    def truncated(self, host, index, term):
        """An entry was on this disk and is not any more."""
        if self.committed.get(index, (0,))[0] == term:
            self.fail("committed entries stay", host, f"{index} of term {term} is not on its disk any more")

    def leaving(self, host, message):
        """A message leaves: what it promises must be on the disk."""
        if type(message) is VoteResponse and message.is_granted and not message.is_pre:
            hard_state = host.disk.hard_state
            if hard_state.term < message.term or (hard_state.term, hard_state.vote) == (message.term, ""):
                self.fail(
                    "a vote is on disk before it is given", host, f"{message.term}, disk has {hard_state}"
                )
            other = self.votes.setdefault((host.id, message.term), message.receiver)
            if other != message.receiver:
                self.fail(
                    "one vote a term", host, f"votes for {message.receiver} and {other} in {message.term}"
                )
        if type(message) is AppendResponse and not message.is_rejected:
            if message.index > host.disk.reach():
                self.fail(
                    "acknowledged is on disk", host, f"{message.index}, disk ends at {host.disk.reach()}"
                )

    def applied(self, host, entry, digest):
        if self.chain.get(entry.index) != digest:
            self.fail("state machine safety", host, f"another state after entry {entry.index}")

    def restored(self, host, index, digest):
        if self.chain.get(index) != digest:
            self.fail("state machine safety", host, f"another state in the snapshot at {index}")

    def acknowledged(self, host, index, data):
        """A client was told that its write took effect."""
        self.acked[index] = data
        self.acked_index = max(self.acked_index, index)

    def read(self, host, asked_at, index):
        if index < asked_at:
            self.fail("linearizable reads", host, f"read at {index}, {asked_at} was acknowledged before it")

    def finish(self):
        """What was acknowledged is in the one history."""
        for index, data in sorted(self.acked.items()):
            if self.committed.get(index, (0, b""))[1] != data:
                raise Violation(f"seed {self.world.seed}: nothing acknowledged is lost: entry {index}")
