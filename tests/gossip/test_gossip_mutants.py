"""The simulation proves itself: every deliberate bug is found, and the right code passes the same grounds."""

from __future__ import annotations

import pytest

from tests.gossip.mutants import GROUNDS, MUTANTS, hunt

QUICK = [
    "alive wins at equal incarnation",
    "nobody refutes",
    "messages are sent for ever",
    "messages are sent once",
    "confirmations are not counted",
    "tombstones are dropped at once",
]


@pytest.mark.parametrize("mutant", QUICK)
def test_the_simulation_kills(mutant: str) -> None:
    assert hunt(mutant)


@pytest.mark.long
@pytest.mark.parametrize("mutant", [name for name in MUTANTS if name not in QUICK])
def test_the_simulation_kills_the_rest(mutant: str) -> None:
    assert hunt(mutant)


@pytest.mark.slow
@pytest.mark.parametrize("ground", GROUNDS, ids=lambda ground: ground.__name__)
def test_the_right_code_passes(ground: object) -> None:
    ground()  # type: ignore[operator]
