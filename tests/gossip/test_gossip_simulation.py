"""Whole clusters in virtual time: the invariants under faults, from seeds; the figures; repeatability."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gossip.config import LAN, PRESETS
from gossip.memory.world import World
from gossip.model import Status
from tests.gossip.checkers import Watcher
from tests.gossip.cluster import address_of, all_see, config_of, joined, warm
from tests.gossip.measure import REFERENCE, death, ideal_death, percentile, spread, trials, without_repair
from tests.gossip.schedule import story


@pytest.mark.parametrize("block", range(4))
def test_three_members_keep_the_invariants(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        story(seed, 3)


@pytest.mark.parametrize("block", range(4))
def test_ten_members_keep_the_invariants(block: int) -> None:
    for seed in range(block * 5, block * 5 + 5):
        story(seed, 10, keys=(b"k" * 32,) if seed % 2 else ())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_hundred_members_keep_the_invariants(seed: int) -> None:
    story(seed, 100, faults=8)


@pytest.mark.slow
def test_a_thousand_members_hear_of_news_and_of_a_death() -> None:
    world = World(1)
    watcher = Watcher(world)
    hosts = warm(world, 1000)
    watcher.adopt()
    world.run(0.5)
    source, victim = hosts[3], hosts[7]
    source.do(source.core.set_tags, {"v": "1"})
    records = [host.core.context.table.records[source.name] for host in hosts]
    assert world.run(2.0, lambda: all(record.incarnation >= 2 for record in records), check_every_s=0.05)
    world.kill(victim)
    assert world.run(
        25.0, all_see([host for host in hosts if host.up], victim.name, Status.FAILED), check_every_s=0.5
    )
    assert watcher.false_deaths == []
    watcher.sample()
    watcher.economical()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("size", "seeds"), [(3, 6000), (5, 3000), (10, 1500), (30, 200), (100, 30), (1000, 1)]
)
def test_many_seeds_keep_the_invariants(size: int, seeds: int) -> None:
    for seed in range(10_000, 10_000 + seeds):
        story(seed, size, keys=(b"k" * 32,) if seed % 3 == 0 else ())


def test_a_seed_repeats_in_another_process_with_another_hash_seed() -> None:
    root = Path(__file__).resolve().parents[2]
    logs = []
    for hash_seed in ("1", "77"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.gossip.schedule", "42", "10"],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        logs.append(done.stdout)
    here = "\n".join(story(42, 10).watcher.log) + "\n"
    assert logs[0] == logs[1] == here
    assert len(here.splitlines()) > 100


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_five_members_know_of_a_death_within_8_seconds(loss: float) -> None:
    assert percentile(trials(LAN, 5, 100, loss, death), 0.95) < 8.0


def test_a_join_is_visible_everywhere_within_a_second() -> None:
    took = []
    for seed in range(100):
        world = World(seed)
        hosts = joined(world, 4)
        world.run(world.rng.random() * 5)
        started = world.now
        host = world.add(config_of(4), address_of(4))
        host.do(host.core.join, 1, hosts[seed % 4].address)
        assert world.run(30.0, all_see(hosts, "n4", Status.ALIVE))
        took.append(world.now - started)
    assert percentile(took, 0.95) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "hours"), [(1, 1.0), pytest.param(2, 10.0, marks=pytest.mark.long)])
def test_no_false_death_with_a_starved_member_and_loss(seed: int, hours: float) -> None:
    """10% loss, and one member that gets no processor for up to 3 s, again and again."""
    world = World(seed)
    watcher = Watcher(world)
    hosts = joined(world, 5)
    world.links.loss = 0.1
    starved = hosts[2]

    def starve() -> None:
        world.stop(starved, 0.2 + 2.8 * world.rng.random())
        world.at(world.now + 5.0 + 5.0 * world.rng.random(), starve)

    starve()
    for _ in range(int(hours * 60)):
        world.run(60.0)
        watcher.sample()
    assert watcher.false_deaths == []
    assert all(host.core.metrics().buried == 0 for host in hosts)


@pytest.mark.parametrize(
    ("preset", "size", "count"),
    [("lan", 3, 300), ("lan", 5, 200), ("lan", 10, 120), ("lan", 25, 30), ("wan", 3, 200), ("wan", 10, 120)],
)
def test_times_are_within_the_reference(preset: str, size: int, count: int) -> None:
    """Within the reference's figures, or, where its few trials fell short of what can be, within the best possible.

    Beside them stands what the news itself may need, and a twentieth for the luck of so many trials.
    """
    timing = without_repair(PRESETS[preset])
    death_p50, death_p95, _, spread_p95 = REFERENCE[preset, size]
    best_p50, best_p95 = ideal_death(timing, size)
    deaths = trials(timing, size, count, 0.0, death)
    assert percentile(deaths, 0.5) <= max(death_p50, best_p50 + spread_p95) * 1.05
    assert percentile(deaths, 0.95) <= max(death_p95, best_p95 + spread_p95) * 1.05
    assert percentile(trials(timing, size, min(count, 60), 0.0, spread), 0.95) <= spread_p95 * 1.2


def test_nobody_waits_for_a_probe_longer_than_a_round_and_a_half() -> None:
    world = World(5)
    [host, *_] = warm(world, 9, LAN)
    table = host.core.context.table
    last: dict[str, int] = {}
    for step in range(400):
        record = table.next_target(lambda _: True)
        assert record is not None
        assert step - last.get(record.name, step) <= 12
        last[record.name] = step
    assert len(last) == 8


@pytest.mark.slow
def test_news_reaches_everybody_by_gossip_alone_at_heavy_loss() -> None:
    """The floor of the transmit limit: without it some member misses more than 5% of broadcasts at 30% loss."""
    timing = without_repair(LAN)
    bare = msgspec.structs.replace(
        timing, spreading=msgspec.structs.replace(timing.spreading, retransmit_floor=1)
    )
    missed = {
        floor: sum(took >= 60.0 for size in range(3, 8) for took in trials(chosen, size, 60, 0.3, spread))
        for floor, chosen in (("floor", timing), ("none", bare))
    }
    assert missed["floor"] <= 3  # of 300: 1%
    assert missed["none"] > 15  # 5%: the hole is there, so this test could fail
