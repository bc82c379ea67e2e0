"""A cluster of Raft cores in virtual time: links, disks, clocks and crashes, all decided by one seed.

A host does what the shell does: it takes Readys, writes them in order, sends, applies. Its disk survives a crash with
what was written whole; what was on the way is lost, or not, by chance. No asyncio, no clock, no threads.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from random import Random
from types import SimpleNamespace

from daemon.consensus.port import HardState, Role, SnapshotMark
from daemon.consensus.raft.core import RaftCore
from daemon.consensus.raft.members import Config, Members, first_entry, members_of
from daemon.consensus.raft.messages import decode_message, encode_message
from daemon.consensus.raft.options import RaftOptions
from tests.consensus.raft.raftcheck import Checker, chained

TICK = 10
OPTIONS = RaftOptions(
    append_entries_max=8,
    append_bytes_max=400,
    window_messages=4,
    window_bytes=1200,
    uncommitted_bytes_max=4000,
    apply_entries_max=16,
    promote_lag_entries=20,
)


class Disk:
    """What a host has written. `holds` is what it would still know after a crash."""

    def __init__(self):
        self.hard_state = HardState()
        self.mark = SnapshotMark(index=0, term=0)
        self.config = Config(0, Members())
        self.digest = 0
        self.log = {}
        self.last = 0

    def write(self, ready, received):
        """Write all of a Ready; the (index, term) of entries that are gone."""
        gone = []
        if ready.snapshot is not None:
            self.mark, self.last = ready.snapshot, ready.snapshot.index
            self.config, self.digest = received[ready.snapshot]
            self.log.clear()
        if ready.truncate_from:
            for index in range(ready.truncate_from, self.last + 1):
                if index in self.log:
                    gone.append((index, self.log.pop(index).term))
            self.last = min(self.last, ready.truncate_from - 1)
        for entry in ready.entries:
            assert entry.index == self.last + 1, f"a gap on disk: {entry.index} after {self.last}"
            self.log[entry.index] = entry
            self.last = entry.index
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state
        return [(index, term) for index, term in gone if not self.holds(index, term)]

    def snapshot(self, mark, config, digest):
        self.mark, self.config, self.digest = mark, config, digest
        for index in [index for index in self.log if index <= mark.index]:
            del self.log[index]

    def holds(self, index, term):
        return index <= self.mark.index or (index in self.log and self.log[index].term == term)

    def reach(self):
        return max(self.last, self.mark.index)

    def entries(self):
        return [self.log[index] for index in range(self.mark.index + 1, self.last + 1)]


class Host:
    """One server: a core, a disk, and a state that is the digest of all that was applied."""

    def __init__(self, world, id_, members=None):
        self.world = world
        self.id = id_
        self.disk = Disk()
        if members is not None:
            entry = first_entry(members)
            self.disk.log[1], self.disk.last, self.disk.hard_state = entry, 1, HardState(term=1)
        self.life = 0
        self.core = None
        self.is_paused = False
        self.late = []
        self.disk_ms = 3
        self.is_full = False
        self.breaks = False
        self.tick_ms = TICK
        self.start()

    @property
    def is_up(self):
        return self.core is not None

    def start(self):
        disk = self.disk
        self.life += 1
        self.core = RaftCore(
            self.id,
            "c1",
            draw=self.world.rng.randrange,
            hard_state=disk.hard_state,
            log=disk.entries(),
            mark=disk.mark,
            members=disk.config.members,
            members_index=disk.config.index,
            options=self.world.options,
        )
        self.seen = SimpleNamespace(
            term=self.core.term,
            role=self.core.role,
            last=self.core.last_index,
            last_term=self.core.term_at(self.core.last_index),
            commit=self.core.commit_index,
            config=-1,
        )
        self.state = (disk.mark.index, disk.digest)
        if self.disk.mark.index:
            self.world.checker.restored(self, *self.state)
        self.writes = deque()
        self.is_writing = False
        self.applying = deque()
        self.received = {}
        self.proposed = {}
        self.reads = {}
        self.is_due = False
        self.world.at(self.world.rng.randrange(1, TICK + 1), self.tick, self.life)

    def crash(self):
        self.world.note(self.id, "dies")
        rng = self.world.rng
        if self.writes and rng.random() < 0.5 and not self.is_full:
            # it reached the disk, but nobody was told
            self.disk.write(self.writes[0], self.received)
        self.core = None
        self.life += 1

    def call(self, method, *arguments):
        result = method(*arguments)
        self.world.steps += 1
        self.world.checker.after(self)
        self.due()
        return result

    def due(self):
        if not self.is_due:
            self.is_due = True
            self.world.at(self.world.rng.randrange(0, 2), self.turn, self.life)

    def tick(self, life):
        if life != self.life:
            return
        self.world.at(self.tick_ms, self.tick, life)
        if not self.is_paused:
            self.call(self.core.tick)

    def turn(self, life):
        """One turn of the shell."""
        if life != self.life:
            return
        self.is_due = False
        if self.is_paused:
            self.late.append((self.turn, (life,)))
            self.is_due = True
            return
        ready = self.core.take()
        world = self.world
        world.checker.after(self)
        world.checker.ready(self, ready)
        world.send(self, ready.messages_before_sync)
        if ready.snapshot is not None:
            self.applying.clear()
            self.state = (ready.snapshot.index, self.received[ready.snapshot][1])
            world.checker.restored(self, *self.state)
        if ready.to_persist or ready.messages_after_sync:
            self.writes.append(ready)
            self.write()
        for context, index in ready.reads:
            world.checker.read(self, self.reads.pop(context), index)
            world.served += 1
        for context in ready.lost_reads:
            del self.reads[context]
        for server, index in ready.snapshots_wanted:
            world.send_snapshot(self, server, index)
        if ready.committed:
            self.applying.extend(ready.committed)
            if world.rng.random() < 0.8:
                self.apply(life)
            else:
                world.at(world.rng.randrange(1, 60), self.apply, life)

    def write(self):
        if self.writes and not self.is_writing:
            self.is_writing = True
            ready = self.writes[0]
            ms = self.world.rng.randrange(1, self.disk_ms + 1) if ready.to_persist else 0
            self.world.at(ms, self.written, self.life)

    def written(self, life):
        if life != self.life:
            return
        if self.is_paused:
            self.late.append((self.written, (life,)))
            return
        self.is_writing = False
        if self.writes[0].to_persist and self.breaks:
            self.breaks = False
            self.writes.clear()
            self.call(self.core.disk_failed, "simulated")
            return
        if self.writes[0].to_persist and self.is_full and not any(r.snapshot for r in self.writes):
            firsts = [entry.index for r in self.writes for entry in r.entries[:1]]
            self.writes.clear()
            self.call(self.core.not_persisted, min([*firsts, self.core.last_index + 1]))
            return
        ready = self.writes.popleft()
        for index, term in self.disk.write(ready, self.received):
            self.world.checker.truncated(self, index, term)
        if ready.to_persist:
            self.world.note(self.id, "disk", self.disk.reach(), self.disk.hard_state.term)
        self.world.send(self, ready.messages_after_sync)
        last = ready.entries[-1] if ready.entries else ready.snapshot
        if last is not None:
            self.call(self.core.persisted, last.index, last.term)
        self.write()

    def apply(self, life):
        if life != self.life:
            return
        if self.is_paused:
            self.late.append((self.apply, (life,)))
            return
        world = self.world
        while self.applying:
            entry = self.applying.popleft()
            index, digest = self.state
            assert entry.index == index + 1, f"{self.id} applies {entry.index} after {index}"
            self.state = (entry.index, chained(digest, entry))
            world.checker.applied(self, entry, self.state[1])
            proposed = self.proposed.pop(entry.index, None)
            if proposed is not None and proposed == (entry.term, entry.data):
                world.checker.acknowledged(self, entry.index, entry.data)
        self.call(self.core.applied, self.state[0])

    def snapshot(self, keep):
        """Take a snapshot of the state as it is, and forget the log but for the last few entries."""
        index, digest = self.state
        core = self.core
        if self.disk.mark.index < index <= min(core.persisted_index, self.disk.last) and not any(
            r.snapshot for r in self.writes
        ):
            mark = SnapshotMark(index=index, term=core.term_at(index))
            self.disk.snapshot(mark, core.members_at(index), digest)
            self.call(core.compact, index - keep)

    def pause(self, is_paused):
        self.is_paused = is_paused
        if not is_paused:
            late, self.late = self.late, []
            for function, arguments in late:
                self.world.at(0, function, *arguments)


class World:
    """Hosts, links and time."""

    def __init__(self, seed, hosts=3, *, story=False, options=OPTIONS):
        self.seed = seed
        self.rng = Random(seed)
        self.options = options
        self.now = 0
        self.steps = 0
        self.served = 0
        self.story = [] if story else None
        self._heap = []
        self._count = 0
        self._trace = hashlib.blake2b(digest_size=16)
        self.checker = Checker(self)
        self.cut = set()
        self.loss = 0.0
        self.doubles = 0.02
        self.delay_ms = 8
        self.uses_bytes = seed % 8 == 0
        self.hosts = {}
        members = members_of("abcdefg"[:hosts])
        for id_ in "abcdefg"[:hosts]:
            self.hosts[id_] = Host(self, id_, members)

    def at(self, ms, function, *arguments):
        self._count += 1
        heapq.heappush(self._heap, (self.now + ms, self._count, function, arguments))

    def note(self, *what):
        """Into the digest of the whole trace, and the story when somebody wants to read it."""
        line = f"{self.now} {' '.join(map(str, what))}"
        self._trace.update(line.encode())
        if self.story is not None:
            self.story.append(line)

    @property
    def digest(self):
        return self._trace.hexdigest()

    def run(self, ms, until=None):
        """Let time pass; True when `until` came true."""
        end = self.now + ms
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, function, arguments = heapq.heappop(heap)
            function(*arguments)
            if until is not None and until():
                return True
        self.now = end
        return False

    # links

    def send(self, sender, messages):
        rng = self.rng
        for receiver, message in messages:
            self.checker.leaving(sender, message)
            if receiver not in self.hosts or (sender.id, receiver) in self.cut or rng.random() < self.loss:
                continue
            for _ in range(1 + (rng.random() < self.doubles)):
                ms = rng.randrange(1, self.delay_ms + 1)
                if rng.random() < 0.03:
                    ms += rng.randrange(200)
                self.at(ms, self.deliver, sender.id, receiver, message)

    def deliver(self, sender, receiver, message):
        host = self.hosts[receiver]
        if not host.is_up or (sender, receiver) in self.cut:
            return
        if host.is_paused:
            host.late.append((self.deliver, (sender, receiver, message)))
            return
        self.note(sender, receiver, type(message).__name__, message.term, host.core.commit_index)
        if self.uses_bytes:
            message = decode_message(encode_message(message))
        host.call(host.core.step, sender, message)

    def send_snapshot(self, host, receiver, index):
        disk = host.disk
        life = host.life
        assert disk.mark.index >= index, "the log was compacted without a snapshot"
        message = host.core.snapshot_message(receiver, disk.mark, disk.config)
        ms = self.rng.randrange(5, 200)
        ok = self.rng.random() >= max(self.loss, 0.1) and (host.id, receiver) not in self.cut
        if ok and receiver in self.hosts:
            self.at(ms, self.install, host.id, receiver, message, disk.config, disk.digest)
        self.at(ms + self.rng.randrange(1, 30), self.sent_snapshot, host, life, receiver, ok)

    def install(self, sender, receiver, message, config, digest):
        host = self.hosts[receiver]
        if host.is_up and not host.is_paused:
            host.received[message.mark] = (config, digest)
            self.note(sender, receiver, "snapshot", message.mark.index)
            host.call(host.core.step, sender, message)

    def sent_snapshot(self, host, life, receiver, ok):
        if host.life == life:
            host.call(host.core.report_snapshot, receiver, ok)

    # what a test asks

    @property
    def leaders(self):
        return [h for _, h in sorted(self.hosts.items()) if h.is_up and h.core.role is Role.LEADER]

    def leader(self):
        """The leader of the latest term."""
        return max(self.leaders, key=lambda host: host.core.term, default=None)
