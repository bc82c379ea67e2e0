"""Invariant 1 on one server: kill -9 anywhere loses nothing that was acknowledged."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.consensus.logstore import StoreCorrupt
from daemon.consensus.restoring import apply_entry, restore
from daemon.consensus.sqlite_store import SqliteStore
from daemon.state.state import State

ROOT = Path(__file__).resolve().parents[2]
POINTS = {
    "before-append": 12,
    "before-commit": 12,
    "after-commit": 12,
    "after-append": 12,
    "before-apply": 40,
    "after-apply": 40,
    "before-answer": 40,
    "before-compact": 3,
    "after-compact": 3,
    "before-snapshot": 2,
    "within-snapshot": 6,
    "after-snapshot": 2,
}


def life(directory: Path, point: str, count: int, lines_max: int) -> list[tuple[int, str]]:
    """Start a child, let it die at its point (or after so many answers), return what it acknowledged."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.consensus.crash_child", str(directory)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "ENCAMP_TEST_KILL": f"{point}:{count}"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    acked = []
    try:
        assert child.stdout is not None
        for line in child.stdout:
            kind, index, what = line.split()
            if kind == "ack":
                acked.append((int(index), what))
            if len(acked) == lines_max:
                child.send_signal(signal.SIGKILL)
                lines_max = -1
        child.wait(timeout=60)
        assert child.returncode == -signal.SIGKILL, child.stderr.read()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait(timeout=60)
        child.stdout.close()
        child.stderr.close()
    return acked


def jobs_on_disk(directory: Path) -> dict[str, int]:
    """What a server would find: job -> the index that made it."""
    store = SqliteStore(directory)
    store.open()
    try:
        state, _, entries = restore(store, State)
        for entry in entries:
            apply_entry(state, entry, store.where)
        return {job.id: job.create_index for job in state.jobs()}
    finally:
        store.close()


def crash_run(directory: Path, seed: int, lives: int) -> None:
    source = random.Random(seed)
    acked: list[tuple[int, str]] = []
    for turn in range(lives):
        point = source.choice([*POINTS, "outside"])
        count = source.randrange(1, POINTS.get(point, 1) + 1)
        # a child that dies by its point may answer as long as it lives; others die after some answers.
        lines_max = source.randrange(1, 120) if point == "outside" else 1500
        acked += life(directory, point, count, lines_max)
        found = jobs_on_disk(directory)
        lost = [(index, what) for index, what in acked if found.get(what) != index]
        assert not lost, f"life {turn} ({point}:{count}) of seed {seed} lost {lost[:5]}"
    assert acked, f"seed {seed} never acknowledged anything"


@pytest.mark.slow
def test_nothing_acknowledged_is_lost(tmp_path):
    crash_run(tmp_path / "log", seed=20, lives=20)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(10))
def test_nothing_acknowledged_is_lost_at_200_points(tmp_path, seed):
    crash_run(tmp_path / "log", seed=seed, lives=20)


def test_the_crash_test_can_fail(tmp_path, monkeypatch):
    """An answer before the disk has it, the deliberate bug, is found."""
    monkeypatch.setenv("ENCAMP_TEST_BUG", "ack-early")
    with pytest.raises((AssertionError, StoreCorrupt), match=r"lost|of an earlier time|lacks entry"):
        crash_run(tmp_path / "log", seed=3, lives=5)
