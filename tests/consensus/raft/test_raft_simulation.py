"""Clusters of cores in virtual time: the paper's properties under faults, and that a seed replays exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.consensus.raft.raftstory import story

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("block", range(4))
def test_seeds_keep_the_properties(block):
    commits = reads = 0
    for seed in range(block * 50, block * 50 + 50):
        world = story(seed)
        commits += world.checker.last_committed
        reads += world.served
    assert commits > 4000 and reads > 500, "the stories have become quiet"


@pytest.mark.long
@pytest.mark.parametrize("block", range(20))
def test_ten_thousand_seeds_keep_the_properties(block):
    for seed in range(1000 + block * 500, 1500 + block * 500):
        story(seed)


@pytest.mark.long
def test_long_stories_keep_the_properties():
    for seed in range(20_000, 20_060):
        story(seed, ms=40_000)


def test_the_stories_meet_what_they_are_for():
    """Elections, truncations, snapshots, changes of members: all of it happens within a few seeds."""
    seen = set()
    for seed in range(12):
        world = story(seed, story=True)
        seen |= {word for line in world.story for word in line.split()[1:4]}
        seen |= {"several leaders"} if len(world.checker.leaders) > 2 else set()
        seen |= {"several configs"} if len(world.checker.configs) > 2 else set()
        seen |= {"overwritten"} if len(world.checker.entries) > world.checker.last_committed else set()
    wanted = {
        "snapshot", "TimeoutNow", "VoteRequest", "several leaders", "several configs", "overwritten", "crash",
        "blink", "pause", "partition", "one_way", "full_disk", "broken_disk",
    }  # fmt: skip
    assert wanted <= seen, wanted - seen


def test_a_seed_replays_in_another_process_with_another_hash_seed():
    code = "from tests.consensus.raft.raftstory import story; print([story(n).digest for n in (3, 8, 11)])"
    told = set()
    for hash_seed in ("0", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        )
        told.add(done.stdout)
    assert told == {f"{[story(n).digest for n in (3, 8, 11)]}\n"}
