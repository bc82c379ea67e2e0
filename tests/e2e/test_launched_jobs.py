"""Cron across a missed launch, and dispatches under max_running, on a real agent with raw_exec tasks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ROOT, Agent, wait_for

pytestmark = pytest.mark.slow

AWAY_S = 7.0


def launched_s(agent: Agent, job: str) -> list[float]:
    """When the job was launched, oldest first, in seconds."""
    row = agent.json("job", "status", "-json", job)["Launches"] or {"Runs": []}
    return sorted(run["Launch"] / 1e9 for run in row["Runs"] if run["Outcome"] != "skipped")


def children(agent: Agent, job: str) -> dict[str, int]:
    found = agent.json("job", "status", "-json", job)["Children"]
    return {key.lower(): count for key, count in found.items()}


@pytest.mark.timeout(180)
def test_a_cron_job_makes_up_once_for_what_was_missed(durable_agent: Agent) -> None:
    text = (ROOT / "contrib" / "jobs" / "cron.nomad.hcl").read_text().replace("*/10 *", "*/2 *")
    said = durable_agent.run("job", "run", durable_agent.job(text)).stdout
    assert "Next launch" in said
    wait_for("two launches", lambda: len(launched_s(durable_agent, "cron")) >= 2, detail=durable_agent.tail)
    durable_agent.kill()
    killed = time.time()
    wait_for("some launches to be missed", lambda: time.time() > killed + AWAY_S)
    back = time.time()
    durable_agent.start()
    wait_for(
        "launches to go on", lambda: launched_s(durable_agent, "cron")[-1] > back, detail=durable_agent.tail
    )
    missed = [at for at in launched_s(durable_agent, "cron") if killed < at < back]
    assert len(missed) <= 1, missed
    shown = durable_agent.run("job", "status", "cron").stdout
    assert "Next Periodic Launch" in shown and "Launches" in shown
    durable_agent.run("job", "stop", "-purge", "-yes", "cron")


@pytest.mark.timeout(180)
def test_dispatched_jobs_take_turns(dev_agent: Agent, tmp_path: Path) -> None:
    dev_agent.run("job", "run", str(ROOT / "contrib" / "jobs" / "encode.nomad.hcl"))
    payload = tmp_path / "film.json"
    payload.write_text("{}")
    refused = dev_agent.run("job", "dispatch", "-detach", "encode", check=False)
    assert refused.returncode == 1 and "size" in refused.stderr
    made: list[str] = []
    for _ in range(3):
        answer: Any = dev_agent.json(
            "job", "dispatch", "-detach", "-json", "-meta", "size=small", "encode", str(payload)
        )
        made.append(str(answer["DispatchedJobID"]))
    why = dev_agent.run("job", "why", made[-1], check=False).stdout
    assert "turn" in why
    most = 0

    def all_over() -> bool:
        nonlocal most
        counts = children(dev_agent, "encode")
        most = max(most, counts["running"])
        return counts["dead"] == 3

    wait_for("all three to end", all_over, limit_s=60, detail=dev_agent.tail)
    assert most == 1
    assert [a["ClientStatus"] for job in made for a in dev_agent.allocs(job)] == ["complete"] * 3
    shown = dev_agent.run("job", "status", "encode").stdout
    assert "3 dead" in shown
    dev_agent.run("job", "stop", "-purge", "-yes", "encode")
