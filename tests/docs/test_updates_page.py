"""The page about changing a running job keeps its word: its job files and commands run on a real agent."""

from __future__ import annotations

import re
from typing import Any

import pytest

from daemon.jobspec.parse import parse_job
from tests.e2e.harness import ROOT, Agent, wait_for

PAGE = (ROOT / "docs/manual/updates.md").read_text()
EXAMPLES = {
    text.split('"')[1]: text for text in re.findall(r"^```hcl\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
LINES = [
    line.partition("#")[0].split()[1:]
    for text in re.findall(r"^```shell\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in text.splitlines()
]


@pytest.fixture
def agent(tmp_path: Any) -> Any:
    agent = Agent(tmp_path / "agent", dev=True)
    try:
        yield agent.start()
    finally:
        agent.clean_up()


def written(agent: Agent, job: str, release: int) -> str:
    """The page's job file with another command: a change that replaces allocations."""
    return agent.job(EXAMPLES[job].replace("version 1", f"version {release}"), f"{job}.nomad.hcl")


def versions(agent: Agent, job: str) -> list[int]:
    return sorted(alloc["JobVersion"] for alloc in agent.running(job))


def latest(agent: Agent, job: str) -> dict[str, Any]:
    found: dict[str, Any] = agent.json("job", "deployments", "-latest", "-json", job)
    return found


def typed(*beginning: str, **instead: str) -> list[str]:
    """The page's command that begins so, with other words for its ids."""
    [line] = [line for line in LINES if line[: len(beginning)] == list(beginning)]
    return [instead.get(f"_{word}", word) for word in line]


@pytest.mark.parametrize("job", EXAMPLES)
def test_the_job_files_are_read_without_a_word(job: str) -> None:
    result = parse_job(EXAMPLES[job], filename=f"{job}.nomad.hcl")
    assert result.job is not None and not result.diagnostics


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_rolling_update_goes_back_by_its_tag(agent: Agent) -> None:
    for release in (1, 2):
        agent.run("job", "run", written(agent, "web", release), limit_s=90)
    assert versions(agent, "web") == [1, 1, 1]
    agent.run(*[{"3": "0"}.get(word, word) for word in typed("job", "tag", "apply")])
    assert "good" in agent.run(*typed("job", "history")).stdout
    back = agent.run(*typed("job", "revert", "-tag"), limit_s=90)
    assert "version 0 comes back as version 2" in back.stdout
    wait_for("version 2 alone", lambda: versions(agent, "web") == [2, 2, 2], 60, agent.tail)
    assert "Latest Deployment" in agent.run(*typed("job", "status")).stdout


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_blue_and_green_run_beside_each_other_until_promoted_or_failed(agent: Agent) -> None:
    for release in (1, 2):
        agent.run("job", "run", written(agent, "shop", release), limit_s=90)
    assert versions(agent, "shop") == [0, 0, 1, 1]
    agent.run(*typed("job", "promote", _web="shop"), limit_s=90)
    wait_for("green alone", lambda: versions(agent, "shop") == [1, 1], 60, agent.tail)
    agent.run("job", "run", written(agent, "shop", 3), limit_s=90)
    id_ = latest(agent, "shop")["ID"]
    for word, status in (("pause", "paused"), ("resume", "running"), ("fail", "failed")):
        agent.run(*typed("deployment", word, _5f3a=id_))
        assert latest(agent, "shop")["Status"] == status
    wait_for("the canaries to stop", lambda: versions(agent, "shop") == [1, 1], 60, agent.tail)
