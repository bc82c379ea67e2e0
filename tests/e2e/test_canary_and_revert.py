"""Canaries and a rollout that takes itself back, on a real agent, with the job files that a person can run."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.harness import ROOT, Agent, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
JOBS = ROOT / "contrib" / "jobs"


def versions(agent: Agent, job: str) -> list[int]:
    return sorted(alloc["JobVersion"] for alloc in agent.running(job))


def latest(agent: Agent, job: str) -> dict[str, Any]:
    found = agent.json("job", "deployments", "-latest", "-json", job)
    return dict(found[0] if isinstance(found, list) else found)


def test_a_canary_waits_to_be_promoted_and_then_the_rest_follows(dev_agent: Agent) -> None:
    file = str(JOBS / "canary.nomad.hcl")
    dev_agent.run("job", "run", file, limit_s=90)
    assert versions(dev_agent, "canary") == [0, 0, 0]
    done = dev_agent.run("job", "run", "-var", "release=2", file, limit_s=90)
    assert "1 canary is healthy and waits for promotion" in done.stdout
    assert versions(dev_agent, "canary") == [0, 0, 0, 1], "the canary comes beside the old ones"
    dev_agent.run("job", "promote", "-detach", "canary")
    wait_for("the rest to follow", lambda: versions(dev_agent, "canary") == [1, 1, 1], 60, dev_agent.tail)
    wait_for("the end", lambda: latest(dev_agent, "canary")["Status"] == "successful", 60, dev_agent.tail)
    history = dev_agent.json("job", "history", "-json", "canary")
    assert [version["Stable"] for version in history] == [True, True]


def test_a_broken_release_is_taken_back(dev_agent: Agent) -> None:
    file = str(JOBS / "revert.nomad.hcl")
    dev_agent.run("job", "run", file, limit_s=90)
    broken = dev_agent.run("job", "run", "-var", "release=broken", file, check=False, limit_s=90)
    assert broken.returncode == 1, broken.stdout
    assert re.search(r"the rollout of version 1 is failed", broken.stdout), broken.stdout

    def back() -> bool:
        job = dev_agent.json("job", "inspect", "revert")
        job = job.get("Job", job)
        return bool(job["Version"] == 2 and len(dev_agent.running("revert")) == 2)

    wait_for("the good release to be back", back, 60, dev_agent.tail)
    found = dev_agent.json("job", "inspect", "revert")
    [task] = found.get("Job", found)["TaskGroups"][0]["Tasks"]
    assert task["Env"] == {"RELEASE": "1"}
    wait_for("its end", lambda: latest(dev_agent, "revert")["Status"] == "successful", 60, dev_agent.tail)
