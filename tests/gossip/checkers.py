"""Watches a world and raises at the first broken promise. The invariants are numbered as in the protocol's contract.

I1 an incarnation never decreases in a table. I2 nobody leaves dead or left at an equal or lower incarnation. I3 a live,
connected member is not dead to a majority for long. I4 after a quiet time nothing waits in a queue. I5 after healing
all tables are equal within a bound. I6 bytes per member and second are bounded. I7 events of one member alternate as
the automaton says. I8 no packet above 1,400 bytes. I9 nothing but DecodeError comes out of a decoder (see the fuzzing
tests). I10 a member that was killed, and that all buried, is not seen alive again before it is started again.
"""

from __future__ import annotations

from gossip import limits
from gossip.memory.world import Host, World
from gossip.model import Address, Event, EventKind, State, Status
from tests.gossip.cluster import agree, told

BYTES_PER_MEMBER_SECOND_MAX = 25_000

# I7: the state of one member in one event stream, and where an event may lead
_GONE, _HERE, _FAILED, _LEFT = "gone", "here", "failed", "left"
_AUTOMATON = {
    (_GONE, EventKind.JOIN): _HERE,
    (_HERE, EventKind.UPDATE): _HERE,
    (_HERE, EventKind.SUSPECT): _HERE,
    (_HERE, EventKind.FAILED): _FAILED,
    (_HERE, EventKind.LEFT): _LEFT,
    (_FAILED, EventKind.LEFT): _LEFT,
    (_FAILED, EventKind.JOIN): _HERE,
    (_LEFT, EventKind.JOIN): _HERE,
    (_FAILED, EventKind.UPDATE): _FAILED,
    (_LEFT, EventKind.UPDATE): _LEFT,
    (_FAILED, EventKind.REAP): _GONE,
    (_LEFT, EventKind.REAP): _GONE,
}


class Violation(AssertionError):
    """A broken invariant, with the seed's place in time."""


class Watcher:
    """Put on a world before its first member; `sample` once per virtual second."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._warm: set[int] = set()
        self._streams: dict[tuple[int, str], str] = {}
        self._beliefs: dict[tuple[int, str], tuple[int, bool]] = {}
        self._buried_since: dict[str, float] = {}
        self.false_deaths: list[str] = []
        self.log: list[str] = []
        self.bytes = 0
        self.packets = 0
        self.started_s = world.now
        world.on_emit = self.on_emit
        world.on_packet = self.on_packet

    def adopt(self) -> None:
        """The members that there are were made warm: each sees all the others."""
        self._warm = {host.number for host in self.world.hosts.values()}
        self._streams.clear()
        self._beliefs.clear()
        self.log.clear()

    def fail(self, number: str, text: str) -> None:
        raise Violation(f"{number} at {self.world.now:.3f}: {text}")

    def on_packet(self, host: Host, address: Address, data: bytes) -> None:
        self.bytes += len(data)
        self.packets += 1
        if len(data) > limits.PACKET_BYTES_MAX:
            self.fail("I8", f"{host.name} sends {len(data)} bytes")

    def on_emit(self, host: Host, event: Event) -> None:
        member = event.member
        if member is None:
            return
        self.log.append(
            f"{self.world.now:.6f} {host.name} {event.kind.value} {member.name} {member.incarnation}"
        )
        key = (host.number, member.name)
        before = self._streams.get(key, _HERE if host.number in self._warm else _GONE)
        after = _AUTOMATON.get((before, event.kind))
        if after is None:
            self.fail("I7", f"{host.name}: {event.kind.value} of {member.name} while {before}")
            return
        self._streams[key] = after
        if event.kind is EventKind.REAP:
            self._beliefs.pop(key, None)
            return
        incarnation, gone = self._beliefs.get(key, (0, False))
        if member.incarnation < incarnation:
            self.fail(
                "I1",
                f"{host.name}: {member.name} goes from incarnation {incarnation} to {member.incarnation}",
            )
        is_gone = member.status in (Status.FAILED, Status.LEFT)
        if gone and not is_gone and member.incarnation <= incarnation:
            self.fail("I2", f"{host.name}: {member.name} returns at incarnation {member.incarnation}")
        self._beliefs[key] = (member.incarnation, is_gone)
        if event.kind is EventKind.FAILED:
            victim = self.world.hosts.get(member.name)
            if victim is not None and victim.up and not victim.stopped and not self.world.links.side:
                self.false_deaths.append(f"{host.name} buries {member.name} at {self.world.now:.1f}")

    def sample(self, bound_s: float = 90.0) -> None:
        """I3, and each core's own invariants."""
        live = [host for host in self.world.hosts.values() if host.up and not host.stopped]
        for host in live:
            host.core.check_invariants()
        for victim in live:
            if victim.core.leaver.begun:
                continue
            burying = sum(
                record is not None and record.state >= State.DEAD
                for record in (host.core.context.table.get(victim.name) for host in live)
            )
            if self.world.links.side or self.world.links.cut or 2 * burying <= len(live):
                self._buried_since.pop(victim.name, None)
            elif self.world.now - self._buried_since.setdefault(victim.name, self.world.now) > bound_s:
                self.fail("I3", f"{victim.name} lives and {burying} of {len(live)} bury it")

    def run(self, for_s: float) -> None:
        """Let time pass under watch."""
        end = self.world.now + for_s
        while self.world.now < end:
            self.world.run(min(1.0, end - self.world.now))
            self.sample()

    def no_zombies(self, names: list[str]) -> None:
        """I10 for members that were killed and buried by all."""
        for host in self.world.hosts.values():
            for name in names:
                record = host.core.context.table.get(name)
                if host.up and record is not None and record.living:
                    self.fail("I10", f"{host.name} sees {name} alive again")

    def converge(self, within_s: float) -> None:
        """I5."""
        hosts = list(self.world.hosts.values())
        if not self.world.run(within_s, lambda: agree(hosts), check_every_s=0.5):
            self.fail("I5", f"tables differ {within_s:.0f} s after healing\n{told(hosts)}")

    def quiet(self, within_s: float = 60.0) -> None:
        """I4."""
        live = [host for host in self.world.hosts.values() if host.up]
        if not self.world.run(
            within_s, lambda: not any(host.core.context.has_news for host in live), check_every_s=0.5
        ):
            depths = {host.name: host.core.context.queue_depth for host in live if host.core.context.has_news}
            self.fail("I4", f"queues do not become empty: {depths}")

    def economical(self) -> None:
        """I6, on average over the whole run."""
        took_s = max(1.0, self.world.now - self.started_s)
        share = self.bytes / took_s / max(1, len(self.world.hosts))
        if share > BYTES_PER_MEMBER_SECOND_MAX:
            self.fail("I6", f"{share:.0f} bytes per member and second")
