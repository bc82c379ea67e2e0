"""The page about drivers keeps its word: the driver on it works, installed as a third party would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, Agent

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/drivers.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_driver_is_about_thirty_lines() -> None:
    lines = [line for line in block("python").splitlines() if line.strip()]
    assert len(lines) <= 35


def test_the_driver_on_the_page_runs_the_job_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site"
    (package / "my_package").mkdir(parents=True)
    (package / "my_package" / "__init__.py").write_text("")
    (package / "my_package" / "sleeper.py").write_text(block("python"))
    # what pip would have written
    info = package / "my_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[encamp.plugins]\nsleeper = my_package.sleeper\n")
    monkeypatch.setenv("PYTHONPATH", str(package))
    agent = Agent(tmp_path / "agent").start()
    try:
        assert agent.json("node", "status", "-json")[0]["Drivers"]["sleeper"]["Healthy"] is True
        agent.run("job", "run", "-wait", agent.job(block("hcl")))
        [alloc] = agent.allocs("nap")
        assert alloc["ClientStatus"] == "complete"
        bad = agent.run("job", "validate", agent.job(block("hcl").replace("seconds", "secs")), check=False)
        assert bad.returncode == 1 and "secs" in bad.stderr
    finally:
        agent.clean_up()


def test_a_broken_plugin_is_reported_and_not_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site"
    package.mkdir()
    (package / "broken_plugin.py").write_text("raise RuntimeError('half installed')\n")
    info = package / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[encamp.plugins]\nbroken = broken_plugin\n")
    monkeypatch.setenv("PYTHONPATH", str(package))
    agent = Agent(tmp_path / "agent").start()
    try:
        assert "half installed" in agent.tail()
    finally:
        agent.clean_up()


def test_plugin_authors_import_from_encamp_only() -> None:
    names = re.findall(r"^(?:from|import) (\w+)", block("python"), re.MULTILINE)
    assert set(names) == {"asyncio", "msgspec", "encamp"}
    code = "import encamp, sys; print(sorted(m for m in sys.modules if m.split('.')[0] == 'daemon'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
