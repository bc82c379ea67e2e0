"""Deliberate bugs, each a small change to the protocol, to prove that the simulation would notice.

A mutant is put in place of the right code while its context is entered. `hunt` looks for a seed that fails; those that
need a certain meeting of events are hunted by a script of their own besides the random stories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from gossip.config import LAN
from gossip.core import states
from gossip.core.context import Context
from gossip.core.exchanging import Exchanger
from gossip.core.intents import Intents
from gossip.core.membership import Membership
from gossip.core.queue import BroadcastQueue
from gossip.core.recent import Recent
from gossip.core.states import TRANSITIONS, Age
from gossip.core.suspicion import Suspicion
from gossip.memory.world import World
from gossip.model import State, Status
from tests.gossip.checkers import Violation, Watcher
from tests.gossip.cluster import agree, all_see, config_of, join, joined, told
from tests.gossip.measure import death, percentile, spread, trials, without_repair
from tests.gossip.schedule import story

A, S, D, L = State.ALIVE, State.SUSPECT, State.DEAD, State.LEFT


@contextmanager
def rules(changes: dict[tuple[State, State, Age], State | None]) -> Iterator[None]:
    table = dict(TRANSITIONS)
    for key, state in changes.items():
        if state is None:
            table.pop(key)
        else:
            table[key] = state
    with mock.patch.object(states, "TRANSITIONS", table):
        yield


def attribute(owner: Any, name: str, value: Any) -> Callable[[], Any]:
    return lambda: mock.patch.object(owner, name, value)


def _old_is_same() -> Any:
    right = states.age
    return mock.patch.object(
        states, "age", lambda known, heard: Age.SAME if heard < known else right(known, heard)
    )


def _no_increment(self: Membership, accused: int) -> None:
    self._speak_up(self.me.incarnation)


def _reap_at_once(self: Membership, record: Any, state: State, accuser: str = "") -> None:
    _right_enter(self, record, state, accuser)
    if state >= State.DEAD and record is not self.me:
        self.context.after(0.0, lambda: _forget(self, record))


def _forget(self: Membership, record: Any) -> None:
    if not record.living and self.table.records.get(record.name) is record:
        self.forget(record)


def _merge_without_deaths(self: Exchanger, head: Any, entries: list[Any]) -> None:
    _right_merge(self, head, [entry for entry in entries if entry.state in (A, L)])


@contextmanager
def _leaves_are_deaths() -> Iterator[None]:
    with rules({(A, L, Age.SAME): D, (A, L, Age.NEWER): D, (D, L, Age.SAME): None}):
        with mock.patch.object(Membership, "set_leaving", lambda self, record, leaving: None):
            yield


def _hear_equal(self: Membership, message: Any) -> None:
    record = self.table.get(message.node)
    if record is not None and record is not self.me and record.facts_incarnation == message.incarnation:
        record.facts_incarnation -= 1
    _right_hear_alive(self, message)


@contextmanager
def _equal_is_enough() -> Iterator[None]:
    with rules({(S, A, Age.SAME): A, (D, A, Age.SAME): A, (L, A, Age.SAME): A}):
        with mock.patch.object(Membership, "hear_alive", _hear_equal):
            yield


_right_hear_alive = Membership.hear_alive
_right_enter = Membership._enter
_right_take = BroadcastQueue.take
_right_is_news = Intents._is_news


def _forgetful(self: Intents, name: str, time: int, *, leave: bool) -> bool:
    record = self.context.table.get(name)
    before = record.status_time if record is not None else 0
    news = _right_is_news(self, name, time, leave=leave)
    if record is not None and leave:
        record.status_time = before
    return news


MUTANTS: dict[str, Callable[[], Any]] = {
    "alive wins at equal incarnation": _equal_is_enough,
    "old bad news counts": _old_is_same,
    "death at equal incarnation is ignored": lambda: rules({(S, D, Age.SAME): None, (A, D, Age.SAME): None}),
    "a leave counts as a death": _leaves_are_deaths,
    "refutation does not raise the incarnation": attribute(Membership, "_refute", _no_increment),
    "nobody refutes": attribute(Membership, "_refute", lambda self, accused: None),
    "a leaver refutes its own leave": attribute(
        Membership, "depart", lambda self: self._refute(self.me.incarnation)
    ),
    "confirmations are not counted": attribute(Suspicion, "confirm", lambda self, accuser: False),
    "one voice confirms itself": attribute(
        Suspicion,
        "confirm",
        lambda self, accuser: self.accusers.append(f"{accuser}{len(self.accusers)}") or True,
    ),
    "suspicion has no time": attribute(Suspicion, "due_s", property(lambda self: self.started_s)),
    "messages are sent for ever": attribute(
        BroadcastQueue, "take", lambda self, budget, parts, limit: _right_take(self, budget, parts, 1 << 60)
    ),
    "messages are sent once": attribute(
        BroadcastQueue, "take", lambda self, budget, parts, limit: _right_take(self, budget, parts, 1)
    ),
    "tombstones are dropped at once": attribute(Membership, "_enter", _reap_at_once),
    "events are news again and again": attribute(Recent, "is_news", lambda self, time, identity: True),
    "status times are forgotten": attribute(Intents, "_is_news", _forgetful),
    "absence counts as silence": attribute(Membership, "spare_suspects", lambda self, late_s: None),
    "deaths of an exchange are dropped": attribute(Exchanger, "_merge", _merge_without_deaths),
    "packets overflow": attribute(
        Context, "send", lambda self, address, parts: _right_send_all(self, address, parts)
    ),
}

_right_merge = Exchanger._merge


def _right_send_all(self: Context, address: Any, parts: list[bytes]) -> None:
    from gossip.wire.codec import encode_compound

    for queue in (self.about_members, *self.about_users):
        parts = parts + queue.take(100_000, 200 - len(parts), 12)
    if parts:
        self._send(address, encode_compound(parts))


# ---- hunting grounds, in order of cost; each raises AssertionError when a promise is broken


def times() -> None:
    """All know of a death, and of news, within the reference's p95 and a fifth; nobody is buried too soon."""
    found = trials(without_repair(LAN), 10, 15, 0.0, death)
    assert percentile(found, 0.95) <= 7.4 * 1.2, "too slow"
    assert min(found) > 4.0, "too soon"
    lost = sum(took >= 60.0 for took in trials(without_repair(LAN), 7, 30, 0.3, spread))
    assert lost <= 1, "news got lost"


def sick_accuser() -> None:
    """One member hears nobody for 16 s and accuses all: with nobody to confirm it, it buries nobody meanwhile."""
    world = World(3)
    watcher = Watcher(world)
    hosts = joined(world, 4)
    deaf = hosts[0]
    world.links.cut |= {(other.address, deaf.address) for other in hosts[1:]}
    world.links.no_streams |= {(deaf.address, other.address) for other in hosts[1:]}
    world.run(16.0)
    assert [text for text in watcher.false_deaths if "buries n0" not in text] == [], watcher.false_deaths


def sleeper() -> None:
    """A member with a suspect in its books is stopped for 20 s."""
    for seed in range(10):
        world = World(seed)
        hosts = joined(world, 5)
        from gossip.wire import messages as m

        hosts[2].core.context.now = world.now
        hosts[2].core.membership.hear_suspect(m.Suspect(incarnation=1, node="n0", accuser="n2"))
        world.stop(hosts[2], 20.0)
        world.run(40.0)
        assert hosts[2].core.metrics().buried == 0, "the sleeper buries"


def zombies() -> None:
    """A dead member stays dead although somebody with an old table comes back."""
    for seed in range(5):
        world = World(seed)
        watcher = Watcher(world)
        hosts = joined(world, 5)
        world.links.partition([hosts[4].address])
        world.kill(hosts[3])
        world.stop(hosts[4], 25.0)
        watcher.run(20.0)
        world.links.heal()
        for _ in range(40):
            watcher.run(1.0)
            if world.now > 1000 + 30 and all(host.core.context.table.get("n3") for host in hosts[:3]):
                for host in hosts[:3]:
                    if host.core.context.table.records["n3"].living:
                        raise Violation(f"I10: {host.name} sees n3 alive again\n{told(hosts)}")


def leavers() -> None:
    """A leave is a leave, everywhere, at once, with and without faults."""
    for seed in range(5):
        world = World(seed)
        watcher = Watcher(world)
        hosts = joined(world, 4)
        hosts[1].do(hosts[1].core.leave)
        rest = [hosts[0], hosts[2], hosts[3]]
        if not world.run(4.0, all_see(rest, "n1", Status.LEFT)):
            raise Violation(f"the leave is not seen\n{told(hosts)}")
        hosts[0].do(hosts[0].core.force_leave, "n2")
        hosts[0].do(hosts[0].core.user_event, "x", b"")
        watcher.quiet(30.0)
        assert world.run(5.0, lambda rest=rest: agree(rest)), told(rest)


def restarts() -> None:
    """A member that comes back with other tags is believed."""
    world = World(5)
    hosts = joined(world, 4)
    for number in range(3):
        world.kill(world.hosts["n3"])
        world.run(0.5 if number % 2 else 12.0)
        again = world.add(config_of(3, tags={"life": str(number)}), hosts[3].address)
        assert join(world, again, hosts[0]) == ""
        live = [*hosts[:3], again]
        assert world.run(5.0, lambda live=live: agree(live)), told(live)


def crowds() -> None:
    """Many changes at once: packets stay small."""
    world = World(6)
    watcher = Watcher(world)
    hosts = joined(world, 25)
    for host in hosts:
        host.do(host.core.set_tags, {"t": "x" * 300})
    watcher.run(3.0)


def stories() -> None:
    for seed in range(60):
        story(seed, 3)
    for seed in range(25):
        story(seed, 5)


GROUNDS = (leavers, restarts, crowds, sleeper, sick_accuser, zombies, times, stories)


def hunt(mutant: str) -> str:
    """What killed it; empty when it lives."""
    with MUTANTS[mutant]():
        for ground in GROUNDS:
            try:
                ground()
            except AssertionError as error:
                return f"{ground.__name__}: {str(error).splitlines()[0] if str(error) else 'assertion'}"
            except Exception as error:  # a mutant may break the code itself
                return f"{ground.__name__}: {type(error).__name__}: {error}"
    return ""
