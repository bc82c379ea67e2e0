"""A full state disk under a real agent: writes are refused in words, reads go on, nothing acknowledged is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import BOTH_ROLES, WITH_RAW_EXEC, AgentFactory
from tests.e2e.harness import Agent, wait_for
from tests.e2e.jobs import service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root"),
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB where the server keeps its state."""
    disk = tmp_path / "agent" / "data" / "server"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


def fill(disk: Path) -> Path:
    """Take all the space that is left."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            return filler


def test_a_full_disk_refuses_writes_and_serves_reads(make_agent: AgentFactory, small_disk: Path) -> None:
    agent: Agent = make_agent(BOTH_ROLES + WITH_RAW_EXEC, dev=False).start()
    agent.run("job", "run", agent.job(service("before", count=2)))
    kept = {alloc["ID"] for alloc in agent.running("before")}
    filler = fill(small_disk)

    def refused() -> str:
        text = service("refused", task='meta {\n  filler = "' + "x" * 200_000 + '"\n}')
        done = agent.run("job", "run", "-detach", agent.job(text), check=False)
        return done.stderr if done.returncode == 1 else ""

    said = wait_for("a write to be refused", refused, 60)
    assert "disk" in said or "space" in said, said
    assert "before" in agent.run("job", "status").stdout
    assert {alloc["ID"] for alloc in agent.running("before")} == kept

    filler.unlink()
    wait_for(
        "writes to be taken again",
        lambda: agent.run("job", "eval", "before", check=False).returncode == 0,
        60,
    )
    agent.kill()
    agent.start()
    wait_for(
        "the same allocations", lambda: {a["ID"] for a in agent.running("before")} == kept, detail=agent.tail
    )
    agent.run("job", "stop", "-yes", "before")
