"""Detection and dissemination times in virtual time, as the reference's table has them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import msgspec

from gossip.config import Timing
from gossip.memory.world import World
from gossip.model import Status
from tests.gossip.cluster import all_see, warm

REFERENCE: dict[tuple[str, int], tuple[float, float, float, float]] = {
    # all know of a death: p50, p95; one broadcast known to all: p50, p95 (no loss)
    ("lan", 3): (5.7, 6.5, 0.12, 0.19),
    ("lan", 5): (5.8, 7.2, 0.18, 0.33),
    ("lan", 10): (6.0, 7.4, 0.33, 0.48),
    ("lan", 25): (7.8, 10.0, 0.47, 0.68),
    ("lan", 50): (8.8, 10.5, 0.59, 0.81),
    ("lan", 100): (10.3, 12.4, 0.66, 0.88),
    ("lan", 500): (12.7, 13.6, 0.90, 0.98),
    ("wan", 3): (38.2, 42.6, 0.29, 0.46),
    ("wan", 10): (38.8, 46.2, 0.57, 0.96),
    ("wan", 100): (69.8, 80.6, 1.22, 1.70),
}


def ideal_death(timing: Timing, size: int, count: int = 4000) -> tuple[float, float]:
    """p50 and p95 of the time to a burial if news needed no time: what independent round robins can reach at best.

    Each survivor probes the dead at a uniform moment of its round and suspects it at the end of that interval; the
    first suspicion's timer falls with each further accuser (reference 1.2, 1.5).
    """
    source = random.Random(size)
    interval_s, suspicion = timing.probing.interval_s, timing.suspicion
    wanted = suspicion.mult - 2 if size - 2 >= suspicion.mult - 2 else 0
    shortest_s = suspicion.mult * max(1.0, math.log10(size)) * interval_s
    longest_s = suspicion.max_mult * shortest_s
    found = []
    for _ in range(count):
        suspects = sorted(source.uniform(0, (size - 1) * interval_s) + interval_s for _ in range(size - 1))
        if wanted < 1:
            found.append(suspects[0] + shortest_s)
            continue
        ends = []
        for accusers, at_s in enumerate(suspects[: wanted + 1]):
            share = math.log(accusers + 1) / math.log(wanted + 1)
            timeout_s = max(shortest_s, longest_s - share * (longest_s - shortest_s))
            ends.append(max(suspects[0] + timeout_s, at_s))
        found.append(min(ends))
    return percentile(found, 0.5), percentile(found, 0.95)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def without_repair(timing: Timing) -> Timing:
    """The reference has gossip and probes only: no push/pull, and no reconnecting."""
    return msgspec.structs.replace(
        timing,
        exchange=msgspec.structs.replace(timing.exchange, interval_s=0.0),
        lifecycle=msgspec.structs.replace(timing.lifecycle, reconnect_interval_s=0.0),
    )


def trials(
    timing: Timing,
    size: int,
    count: int,
    loss: float,
    one: Callable[[World, list[str]], float],
    seed: int = 0,
) -> list[float]:
    """Independent clusters, each asked once."""
    found = []
    for number in range(count):
        world = World(seed * 100_003 + number)
        world.links.loss = loss
        names = [host.name for host in warm(world, size, timing)]
        world.run(world.rng.random() * timing.probing.interval_s + 1.0)
        found.append(one(world, names))
    return found


def grain_s(names: list[str]) -> float:
    """How exactly to look: at each event in small clusters, each 10 ms in large ones, where it costs more."""
    return 0.0 if len(names) <= 25 else 0.01


def death(world: World, names: list[str]) -> float:
    """Seconds from a crash until every survivor knows."""
    victim = world.hosts[world.rng.choice(names)]
    started = world.now
    world.kill(victim)
    rest = [host for host in world.hosts.values() if host.up]
    assert world.run(600.0, all_see(rest, victim.name, Status.FAILED), check_every_s=grain_s(names)), (
        "nobody buries the dead"
    )
    return world.now - started


def spread(world: World, names: list[str]) -> float:
    """Seconds from new tags until every member has them."""
    source = world.hosts[world.rng.choice(names)]
    started = world.now
    source.do(source.core.set_tags, {"news": "1"})
    records = [host.core.context.table.records[source.name] for host in world.hosts.values()]
    limit_s = 60.0
    told = world.run(
        limit_s, lambda: all(record.incarnation >= 2 for record in records), check_every_s=grain_s(names)
    )
    return world.now - started if told else limit_s
