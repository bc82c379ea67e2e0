"""A table on which a script plays: cores with disks that write at once (or when told), and messages that wait.

The checkers of the simulation watch here too. Nothing is delivered, ticked or lost unless the script says so.
"""

from __future__ import annotations

from types import SimpleNamespace

from daemon.consensus.port import HardState, Role
from daemon.consensus.raft.core import RaftCore
from daemon.consensus.raft.members import first_entry, members_of
from daemon.consensus.raft.messages import InstallSnapshot
from daemon.consensus.raft.options import RaftOptions
from tests.consensus.raft.raftcheck import Checker, chained
from tests.consensus.raft.raftworld import Disk


class Server:
    def __init__(self, table, id_, members=None):
        self.table = table
        self.id = id_
        self.disk = Disk()
        if members is not None:
            self.disk.log[1], self.disk.last, self.disk.hard_state = (
                first_entry(members),
                1,
                HardState(term=1),
            )
        self.is_held = False
        self.start()

    def start(self):
        disk = self.disk
        self.core = RaftCore(
            self.id,
            "c1",
            draw=lambda below: 0,
            hard_state=disk.hard_state,
            log=disk.entries(),
            mark=disk.mark,
            members=disk.config.members,
            members_index=disk.config.index,
            options=self.table.options,
        )
        core = self.core
        self.seen = SimpleNamespace(
            term=core.term, role=core.role, last=core.last_index, last_term=core.term_at(core.last_index),
            commit=core.commit_index, config=-1,
        )  # fmt: skip
        self.state = (disk.mark.index, disk.digest)
        self.writes = []
        self.received = {}
        self.reads, self.lost_reads, self.wanted, self.applied = [], [], [], []

    def crash(self):
        """What was not written is lost."""
        self.core = None
        self.table.net = [m for m in self.table.net if m[1] != self.id]

    def call(self, method, *arguments):
        result = method(*arguments)
        self.work()
        return result

    def tick(self, count=1):
        for _ in range(count):
            self.call(self.core.tick)

    def propose(self, *batch):
        return self.call(self.core.propose, list(batch))

    def work(self):
        """Take Readys until there is nothing to do."""
        table = self.table
        while True:
            table.checker.after(self)
            ready = self.core.take()
            table.checker.after(self)
            table.checker.ready(self, ready)
            table.send(self, ready.messages_before_sync)
            if ready.snapshot is not None:
                self.state = (ready.snapshot.index, self.received[ready.snapshot][1])
            self.reads += ready.reads
            self.lost_reads += ready.lost_reads
            self.wanted += ready.snapshots_wanted
            self.writes.append(ready)
            if not self.is_held:
                self.sync()
            for entry in ready.committed:
                self.state = (entry.index, chained(self.state[1], entry))
                table.checker.applied(self, entry, self.state[1])
                self.applied.append(entry.data)
            if ready.committed:
                self.core.applied(self.state[0])
            if not (
                ready.to_persist or ready.committed or ready.messages_before_sync or ready.messages_after_sync
            ):
                return

    def sync(self):
        """The disk does what waits for it."""
        self.is_held = False
        while self.writes:
            ready = self.writes.pop(0)
            for index, term in self.disk.write(ready, self.received):
                self.table.checker.truncated(self, index, term)
            self.table.send(self, ready.messages_after_sync)
            last = ready.entries[-1] if ready.entries else ready.snapshot
            if last is not None:
                self.core.persisted(last.index, last.term)

    def full(self):
        """The disk takes nothing of what waits for it."""
        firsts = [entry.index for ready in self.writes for entry in ready.entries[:1]]
        self.writes.clear()
        self.call(self.core.not_persisted, min([*firsts, self.core.last_index + 1]))

    def snapshot(self, keep=0):
        from daemon.consensus.port import SnapshotMark

        index, digest = self.state
        mark = SnapshotMark(index=index, term=self.core.term_at(index))
        self.disk.snapshot(mark, self.core.members_at(index), digest)
        self.core.compact(index - keep)

    def snapshot_for(self, receiver):
        """The message for a receiver; its state travels beside it."""
        disk = self.disk
        message = self.core.snapshot_message(receiver, disk.mark, disk.config)
        self.table.servers[receiver].received[disk.mark] = (disk.config, disk.digest)
        return message


class Table:
    def __init__(self, voters="abc", non_voters="", **options):
        self.seed, self.now = "script", 0
        self.options = RaftOptions(**options)
        self.checker = Checker(self)
        self.net = []
        self.hosts = self.servers = {}
        members = members_of(voters, non_voters)
        for id_ in sorted(voters + non_voters):
            self.servers[id_] = Server(self, id_, members)

    def __getattr__(self, id_):
        if len(id_) != 1:
            raise AttributeError(id_)
        return self.servers[id_]

    def join(self, id_):
        self.servers[id_] = Server(self, id_)
        return self.servers[id_]

    def send(self, server, messages):
        for receiver, message in messages:
            self.checker.leaving(server, message)
            self.net.append((server.id, receiver, message))

    def deliver(self, among=None, only=None):
        """Deliver what is on the way between these servers until nothing is; the rest is lost."""
        rounds = 0
        while self.net:
            rounds += 1
            assert rounds < 5000, "the servers never stop talking"
            sender, receiver, message = self.net.pop(0)
            if among is not None and (sender not in among or receiver not in among):
                continue
            if only is not None and not only(message):
                continue
            server = self.servers.get(receiver)
            if server is not None and server.core is not None:
                server.call(server.core.step, sender, message)

    def drop(self):
        lost, self.net = self.net, []
        return lost

    def elect(self, id_, voters=None, only=None):
        """This server stands, and these hear of it after a long silence."""
        among = set(voters) | {id_} if voters is not None else set(self.servers)
        self.drop()
        for other in sorted(among):
            server = self.servers[other]
            if other != id_ and server.core is not None and server.core.role is not Role.LEADER:
                server.core._context.silence = 1000
        for _ in range(3):  # the first may only teach it the term that the others are in
            self.servers[id_].call(self.servers[id_].core.campaign)
            self.deliver(among, only)
        assert self.servers[id_].core.role is Role.LEADER, f"{id_} was not elected"

    def leads(self, id_):
        return self.servers[id_].core.role is Role.LEADER

    def heartbeat(self, id_, among=None):
        """One round of heartbeats and what follows from it."""
        self.servers[id_].tick()
        self.deliver(among)

    def install(self, sender, receiver):
        message = self.servers[sender].snapshot_for(receiver)
        assert isinstance(message, InstallSnapshot)
        server = self.servers[receiver]
        server.call(server.core.step, sender, message)
