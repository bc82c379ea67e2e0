"""The member table: one record a name, the ring of those who are probed, and the news that waits for a name. Pure.

Theory: records of the dead and of those who left stay as tombstones, so that old news cannot raise them; they are not
in the ring. The ring is shuffled, half by half, so that the time between two probes of one member has no long tail
(a whole shuffle allows almost two rounds); a new member enters at a random place, which bounds the time to its first
probe without favouring anybody. News about an unknown name waits (bounded, a few minutes) until the member is
introduced.
Not here: deciding what to believe (membership.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from gossip import limits
from gossip.core.suspicion import Suspicion
from gossip.core.tags import decode_tags
from gossip.core.timers import Timer
from gossip.model import Address, Member, State, Status, Versions


class Record:
    """What is believed about one member.

    `facts_incarnation` is the incarnation at which address, tags and versions are known; it lags behind `incarnation`
    when a suspicion or a death at a higher one arrived first.
    """

    __slots__ = (
        "changed_s",
        "facts_incarnation",
        "host",
        "in_ring",
        "incarnation",
        "leaving",
        "member_id",
        "meta",
        "name",
        "port",
        "state",
        "status_time",
        "suspicion",
        "timer",
        "versions",
    )

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.member_id = ""
        self.host = ""
        self.port = 0
        self.meta = b""
        self.versions = Versions()
        self.incarnation = 0
        self.facts_incarnation = 0
        self.state = State.ALIVE
        self.leaving = False
        self.status_time = 0
        self.changed_s = now
        self.in_ring = False
        self.suspicion: Suspicion | None = None
        self.timer: Timer | None = None

    @property
    def address(self) -> Address:
        """Where it listens."""
        return (self.host, self.port)

    @property
    def living(self) -> bool:
        """Alive or only suspected."""
        return self.state <= State.SUSPECT

    def status(self) -> Status:
        """As users see it."""
        if self.state is State.LEFT:
            return Status.LEFT
        if self.state is State.DEAD:
            return Status.FAILED
        if self.leaving:
            return Status.LEAVING
        return Status.SUSPECT if self.state is State.SUSPECT else Status.ALIVE

    def member(self) -> Member:
        """A frozen copy for users."""
        return Member(
            name=self.name,
            member_id=self.member_id,
            host=self.host,
            port=self.port,
            tags=decode_tags(self.meta),
            status=self.status(),
            incarnation=self.incarnation,
            versions=self.versions,
        )


class Rumour:
    """The strongest bad news, and the newest intent, about a name that is not known yet."""

    __slots__ = ("accuser", "fact", "heard_s", "incarnation", "leave", "status_time")

    def __init__(self, now: float) -> None:
        self.heard_s = now
        self.fact = State.ALIVE
        self.incarnation = -1
        self.accuser = ""
        self.status_time = 0
        self.leave = False


class Table:
    """All records by name. Invariants: the living count is right; the ring holds every living member but self once."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self.records: dict[str, Record] = {}
        self.ring: list[Record] = []
        self.living = 0
        self.tombstones = 0
        self._rumours: dict[str, Rumour] = {}
        self._cursor = 0
        self._rng = rng

    def get(self, name: str) -> Record | None:
        """The record of a name."""
        return self.records.get(name)

    def add(self, record: Record) -> None:
        """Put in a new, living record."""
        self.records[record.name] = record
        self.living += 1
        self.enter_ring(record)

    def enter_ring(self, record: Record) -> None:
        """Make a member be probed, at a random place."""
        if record.in_ring or record.name == self.name:
            return
        record.in_ring = True
        place = self._rng.randrange(len(self.ring) + 1)
        self.ring.insert(place, record)
        if place < self._cursor:
            self._cursor += 1

    def set_state(self, record: Record, state: State, now: float) -> None:
        """Change the state and the counts that depend on it."""
        was_living = record.living
        if state is not record.state:
            record.changed_s = now
        record.state = state
        if was_living and not record.living:
            self.living -= 1
            self.tombstones += 1
        elif record.living and not was_living:
            self.living += 1
            self.tombstones -= 1
            self.enter_ring(record)

    def remove(self, record: Record) -> None:
        """Forget a tombstone."""
        del self.records[record.name]
        self.tombstones -= 1
        if record.in_ring:
            place = self.ring.index(record)
            self.ring.pop(place)
            record.in_ring = False
            if place < self._cursor:
                self._cursor -= 1

    def next_target(self, keep: Callable[[Record], bool]) -> Record | None:
        """The next living member in the round; at its end the ring is cleaned of what `keep` refuses, and shuffled."""
        for _ in range(2):
            while self._cursor < len(self.ring):
                record = self.ring[self._cursor]
                self._cursor += 1
                if record.living:
                    return record
            self._cursor = 0
            for record in self.ring:
                record.in_ring = record.living or keep(record)
            self.ring = [record for record in self.ring if record.in_ring]
            self._shuffle()
        return None

    def _shuffle(self) -> None:
        """A new order for the next round, each half in itself: nobody waits for longer than a round and a half."""
        middle = (len(self.ring) + 1) // 2
        early, late = self.ring[:middle], self.ring[middle:]
        self._rng.shuffle(early)
        self._rng.shuffle(late)
        self.ring = early + late

    def pick(self, count: int, fits: Callable[[Record], bool]) -> list[Record]:
        """Up to `count` random members of the ring that fit.

        A sample first; if that finds too few, all in random order, so that in small clusters no candidate is missed.
        """
        size = len(self.ring)
        wanted = min(count, size)
        if size > 4 * count:
            found = [record for record in self._rng.sample(self.ring, 3 * count) if fits(record)]
            if len(found) >= wanted:
                return found[:wanted]
        shuffled = list(self.ring)
        self._rng.shuffle(shuffled)
        return [record for record in shuffled if fits(record)][:wanted]

    def members(self) -> tuple[Member, ...]:
        """Everybody, self included, sorted by name."""
        return tuple(self.records[name].member() for name in sorted(self.records))

    def all_living(self) -> Iterator[Record]:
        """Alive and suspect records, self included."""
        return (record for record in self.records.values() if record.living)

    def rumour(self, name: str, now: float) -> Rumour:
        """The waiting news of an unknown name, made if need be; the oldest gives way."""
        rumour = self._rumours.pop(name, None)
        if rumour is None or now - rumour.heard_s > limits.RUMOUR_S:
            rumour = Rumour(now)
        rumour.heard_s = now
        if len(self._rumours) >= limits.RUMOURS_MAX:
            del self._rumours[next(iter(self._rumours))]
        self._rumours[name] = rumour
        return rumour

    def take_rumour(self, name: str, now: float) -> Rumour | None:
        """The waiting news of a name that is being introduced, unless it is stale."""
        rumour = self._rumours.pop(name, None)
        return rumour if rumour is not None and now - rumour.heard_s <= limits.RUMOUR_S else None

    def check_invariants(self) -> None:
        """Raises: AssertionError when the counts, the ring or the rumours are not as promised."""
        living = [record for record in self.records.values() if record.living]
        assert self.living == len(living), f"{self.name}: living {self.living}, counted {len(living)}"
        assert self.tombstones == len(self.records) - len(living), (
            f"{self.name}: tombstones {self.tombstones}"
        )
        names = [record.name for record in self.ring]
        assert len(names) == len(set(names)), f"{self.name}: the ring repeats itself"
        missing = {record.name for record in living} - set(names) - {self.name}
        assert not missing, f"{self.name}: never probed: {sorted(missing)}"
        assert self.name not in names, f"{self.name}: probes itself"
        assert len(self._rumours) <= limits.RUMOURS_MAX, f"{self.name}: {len(self._rumours)} rumours"
        assert 0 <= self._cursor <= len(self.ring), f"{self.name}: cursor {self._cursor}"
