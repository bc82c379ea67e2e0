"""The scenario scripts give the traces that were reviewed (see scenarios.py for how to write them anew)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gossip.scenarios import FOLDER, parts, replay

SCRIPTS = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_gives_its_trace(path: Path) -> None:
    assert replay(path) == parts(path)[1]


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 7
