"""The simulation and the scripts prove themselves: every deliberate bug is found; the right code passes the scripts."""

from __future__ import annotations

import pytest

from tests.consensus.raft.raftmutants import MUTANTS, SEEDS, hunt
from tests.consensus.raft.raftscripts import SCRIPTS


@pytest.mark.parametrize("mutant", SEEDS)
def test_seeds_find(mutant):
    found_after, what = hunt(mutant, SEEDS[mutant])
    assert found_after, f"{mutant} lived through {SEEDS[mutant]} seeds"
    assert what


@pytest.mark.parametrize("mutant", SCRIPTS)
def test_a_script_finds(mutant):
    with MUTANTS[mutant](), pytest.raises(Exception):
        SCRIPTS[mutant]()


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=lambda script: script.__name__)
def test_the_right_code_passes(script):
    script()


def test_every_mutant_has_its_hunter():
    assert set(SEEDS) | set(SCRIPTS) == set(MUTANTS)
