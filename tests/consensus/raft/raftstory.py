"""Stories: what happens to a simulated cluster, drawn from its seed; then the faults stop, and it must recover."""

from __future__ import annotations

from daemon.consensus.port import Role
from daemon.consensus.raft.members import ChangeKind, MemberChange
from daemon.model.errors import EncampError
from tests.consensus.raft.raftcheck import Violation
from tests.consensus.raft.raftworld import OPTIONS, TICK, Host, World

ELECTION_MS = 2 * OPTIONS.election_ticks * TICK


class Story:
    def __init__(self, seed, *, hosts=None, ms=2500, story=False):
        self.world = World(seed, hosts or (3 if seed % 3 else 5), story=story)
        self.rng = self.world.rng
        self.ms = ms
        self.is_over = False
        self.count = 0
        self.questions = 0
        #: a third of the seeds leave the members alone, so that the other faults get longer runs.
        self.changes_members = seed % 3 != 2
        self.faults = [
            (8, self.crash),
            (12, self.restart),
            (4, self.blink),
            (6, self.partition),
            (6, self.heal),
            (3, self.one_way),
            (4, self.lossy),
            (4, self.slow_disk),
            (2, self.full_disk),
            (1, self.broken_disk),
            (4, self.pause),
            (2, self.unreachable),
            (3, self.transfer),
            (8, self.snapshot),
            (8 if self.changes_members else 0, self.change),
            (1, self.slow_clock),
        ]

    def run(self):
        world = self.world
        world.at(200, self.client)
        world.at(300, self.fault)
        world.run(self.ms)
        self.is_over = True
        self.recover()
        world.checker.finish()
        return world

    # clients

    def client(self):
        if self.is_over:
            return
        self.write(self.rng.randrange(1, 4))
        if self.rng.random() < 0.4:
            self.ask()
        self.world.at(self.rng.randrange(1, 30), self.client)

    def write(self, count):
        leaders = [host for host in self.world.leaders if not host.is_paused]
        if not leaders:
            return
        host = self.rng.choice(leaders)
        batch = []
        for _ in range(count):
            self.count += 1
            batch.append(b"w%d" % self.count + b"." * self.rng.choice((0, 10, 120)))
        try:
            indexes = host.call(host.core.propose, batch)
        except EncampError:
            return
        for index, data in zip(indexes, batch, strict=True):
            host.proposed[index] = (host.core.term, data)

    def ask(self):
        leaders = [host for host in self.world.leaders if not host.is_paused]
        if leaders:
            self.ask_host(self.rng.choice(leaders))

    def ask_host(self, host):
        self.questions += 1
        host.reads[self.questions] = self.world.checker.acked_index
        host.call(host.core.read_index, self.questions)

    # faults

    def fault(self):
        if self.is_over:
            return
        total = sum(weight for weight, _ in self.faults)
        drawn = self.rng.randrange(total)
        for weight, fault in self.faults:
            drawn -= weight
            if drawn < 0:
                self.world.note(fault.__name__)
                fault()
                break
        self.world.at(self.rng.randrange(5, 120), self.fault)

    def host(self, is_up=True):
        found = [host for _, host in sorted(self.world.hosts.items()) if host.is_up == is_up]
        return self.rng.choice(found) if found else None

    def crash(self):
        host = self.host()
        if host is not None:
            host.crash()

    def restart(self):
        host = self.host(is_up=False)
        if host is not None:
            host.is_paused = False
            host.start()

    def blink(self):
        """One or two servers die and are back at once, as with a crash loop in the middle of an election."""
        for _ in range(self.rng.randrange(1, 3)):
            host = self.host()
            if host is not None:
                host.crash()
                host.is_paused = False
                host.start()

    def partition(self):
        ids = sorted(self.world.hosts)
        side = set(self.rng.sample(ids, self.rng.randrange(1, len(ids))))
        self.world.cut = {(a, b) for a in ids for b in ids if (a in side) != (b in side)}

    def one_way(self):
        ids = sorted(self.world.hosts)
        for _ in range(self.rng.randrange(1, 4)):
            self.world.cut.add(tuple(self.rng.sample(ids, 2)) if len(ids) > 1 else ("", ""))

    def heal(self):
        self.world.cut = set()

    def lossy(self):
        self.world.loss = self.rng.choice((0.0, 0.0, 0.1, 0.3))
        self.world.delay_ms = self.rng.choice((8, 8, 30, 80))

    def slow_disk(self):
        host = self.host()
        if host is not None:
            host.disk_ms = self.rng.choice((3, 3, 40, 150))

    def full_disk(self):
        host = self.host()
        if host is not None:
            host.is_full = True
            self.world.at(self.rng.randrange(20, 400), setattr, host, "is_full", False)

    def broken_disk(self):
        host = self.host()
        if host is not None:
            host.breaks = True

    def pause(self):
        host = self.host()
        if host is not None and not host.is_paused:
            host.pause(True)
            self.world.at(self.rng.randrange(20, 500), self.resume, host)

    def resume(self, host):
        """It goes on as if nothing had been; if it led, a client asks it at once."""
        host.pause(False)
        if host.is_up and host.core.role is Role.LEADER:
            self.ask_host(host)

    def unreachable(self):
        host = self.host()
        if host is not None and not host.is_paused:
            host.call(host.core.report_unreachable, self.rng.choice(sorted(self.world.hosts)))

    def slow_clock(self):
        host = self.host()
        if host is not None:
            host.tick_ms = self.rng.choice((TICK, TICK - 3, TICK + 6))

    def transfer(self):
        host = self.world.leader()
        if host is not None and not host.is_paused:
            try:
                host.call(host.core.transfer, "")
            except EncampError:
                return
            self.write(2)

    def snapshot(self):
        host = self.host()
        if host is not None and not host.is_paused:
            host.snapshot(self.rng.randrange(0, 10))

    def change(self):
        """One change; or two at once, of which the second must be refused."""
        for _ in range(self.rng.choice((1, 1, 2))):
            self.change_once()

    def change_once(self):
        host = self.world.leader()
        if host is None or host.is_paused:
            return
        members = host.core.config.members.members
        outside = [id_ for id_ in "abcdefg" if id_ not in host.core.config.ids]
        waiting = [member.id for member in members if not member.is_voter]
        kind = self.rng.choice((ChangeKind.ADD_NON_VOTER, ChangeKind.PROMOTE, ChangeKind.REMOVE))
        if kind is ChangeKind.ADD_NON_VOTER and outside:
            target = self.rng.choice(outside)
            if target not in self.world.hosts:
                self.world.hosts[target] = Host(self.world, target)
        elif kind is ChangeKind.PROMOTE and waiting:
            target = self.rng.choice(waiting)
        elif kind is ChangeKind.REMOVE and len(members) > 2:
            target = self.rng.choice(members).id
        else:
            return
        try:
            host.call(host.core.propose_change, MemberChange(kind=kind, id=target))
        except EncampError:
            return

    # afterwards

    def recover(self):
        world = self.world
        world.cut, world.loss, world.delay_ms = set(), 0.0, 8
        for _, host in sorted(world.hosts.items()):
            host.disk_ms, host.is_full, host.breaks, host.tick_ms = 3, False, False, TICK
            if host.is_paused:
                host.pause(False)
            if host.is_up and host.core.fault:
                if "lost what was on it" in host.core.fault:
                    world.checker.fail("no disk lost anything", host, host.core.fault)
                host.crash()
            if not host.is_up:
                host.start()
        if not world.run(10 * ELECTION_MS, self.has_served_leader):
            raise Violation(
                f"seed {world.seed}: no leader 10 election timeouts after the faults\n{self.told()}"
            )
        self.write(1)
        if not world.run(20 * ELECTION_MS, self.agree):
            raise Violation(f"seed {world.seed}: not all agree 20 election timeouts later\n{self.told()}")

    def has_served_leader(self):
        leader = self.world.leader()
        return leader is not None and leader.core.term_at(leader.core.commit_index) == leader.core.term

    def agree(self):
        leader = self.world.leader()
        if leader is None or leader.core.commit_index != leader.core.last_index:
            return False
        states = {self.world.hosts[id_].state for id_ in leader.core.config.ids}
        return states == {leader.state} and leader.state[0] == leader.core.last_index

    def told(self):
        lines = []
        for id_, host in sorted(self.world.hosts.items()):
            core = host.core
            if core is None:
                lines.append(f"{id_} down")
                continue
            lines.append(
                f"{id_} {core.role.name} term {core.term} leader {core.leader or '-'} last {core.last_index} commit "
                f"{core.commit_index} persisted {core.persisted_index} state {host.state[0]} voters "
                f"{''.join(core.config.voters)} all {''.join(core.config.ids)} @{core.config.index} removed "
                f"{core.is_removed} fault {core.fault!r} full {core._context.full_ticks}"
            )
            if core.role is Role.LEADER:
                lines += [
                    f"   {p.id} {p.state.name} match {p.match} next {p.next} paused {p.is_paused}"
                    for p in core.peers
                ]
        return "\n".join(lines)


def story(seed, **options):
    """Play one seed. Raises Violation."""
    return Story(seed, **options).run()
