"""A system job that finds its node full ends less important work there, and says so."""

from __future__ import annotations

import pytest

from tests.e2e.harness import Agent, wait_for
from tests.e2e.jobs import service

pytestmark = pytest.mark.slow


def test_pr6_a_system_job_takes_the_room_of_a_service(dev_agent: Agent) -> None:
    [node] = dev_agent.json("node", "status", "-json")
    memory = _memory(dev_agent, node["ID"]) * 6 // 10
    low = service("low", memory=memory).replace('job "low" {', 'job "low" {\n  priority = 20', 1)
    high = service("high", type_="system", memory=memory)
    high = high.replace('job "high" {', 'job "high" {\n  priority = 80', 1)
    dev_agent.run("job", "run", "-detach", dev_agent.job(low))
    [victim] = wait_for("the service to run", lambda: dev_agent.running("low"))
    dev_agent.run("job", "run", "-detach", dev_agent.job(high))
    [winner] = wait_for("the system job to run", lambda: dev_agent.running("high"))
    told = dev_agent.json("alloc", "status", "-json", victim["ID"])
    assert told["DesiredStatus"] == "evict" and told["PreemptedByAllocation"] == winner["ID"]
    assert dev_agent.json("alloc", "status", "-json", winner["ID"])["PreemptedAllocations"] == [victim["ID"]]
    shown = dev_agent.run("alloc", "status", "-verbose", winner["ID"]).stdout
    assert "mean of" in shown and "preemption" in shown and victim["ID"] in shown
    why = dev_agent.run("job", "why", "low", check=False).stdout
    assert "memory" in why


def _memory(agent: Agent, node_id: str) -> int:
    """What jobs may use of the node, MB."""
    node = agent.json("node", "status", "-json", node_id)["Node"]
    total: int = node["NodeResources"]["MemoryMB"] - node["Reserved"]["MemoryMB"]
    return total
