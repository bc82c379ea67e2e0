"""Tests prove themselves: each small mistake of the lists is seen by the tests of its layer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutations import evaluation, leading, reconciling, scheduling
from tests.mutations.mutate import Mutation, copy_sources, survives

ALL = [*evaluation.MUTATIONS, *scheduling.MUTATIONS, *leading.MUTATIONS, *reconciling.MUTATIONS]
QUICK = ALL[::17]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("mutated")
    copy_sources(directory)
    return directory


@pytest.mark.parametrize("mutation", ALL, ids=str)
def test_it_can_be_made(mutation: Mutation) -> None:
    assert mutation.source.count(mutation.before) == 1, "the source has changed: write the mutation anew"
    assert mutation.before != mutation.after


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutation", QUICK, ids=str)
def test_it_is_seen(mutation: Mutation, copied: Path) -> None:
    assert not survives(mutation, copied)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutation", [each for each in ALL if each not in QUICK], ids=str)
def test_it_is_seen_too(mutation: Mutation, copied: Path) -> None:
    assert not survives(mutation, copied)


@pytest.mark.slow
def test_the_right_code_passes(copied: Path) -> None:
    """Otherwise everything would seem to be killed."""
    unchanged = Mutation(ALL[0].file, ALL[0].before, ALL[0].before, ALL[0].tests)
    assert "exit code 0" in survives(unchanged, copied)
