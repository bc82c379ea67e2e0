"""Each placement benchmark runs at a tiny size and says what it counts. No figure is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, environment

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("c1m", "0.002"),
        ("small", "0.002"),
        ("start", "0.2"),
        ("full", "0.01"),
        ("list", "0.001"),
        ("grid", "0.05"),
    ],
)
def test_a_workload_runs_small(tmp_path: Path, name: str, scale: str) -> None:
    out = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.bench", "--name", name, "--scale", scale, "--out", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first = json.loads(out.read_text())[0]
    assert first["name"] == name and first["value"] > 0 and first["includes"]
