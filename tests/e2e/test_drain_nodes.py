"""A drain over several nodes, on real agents with raw_exec tasks."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import AgentFactory
from tests.e2e.harness import ROOT, Agent, wait_for

pytestmark = pytest.mark.slow

CLIENT = """
client {
  enabled = true
  servers = ["%s"]
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
"""


def joined(make_agent: AgentFactory, server: Agent, name: str) -> Agent:
    """A node-only agent of that server."""
    address = re.search(r"tcp://(127\.0\.0\.1:\d+)", server.tail())
    assert address is not None
    return make_agent(CLIENT % address.group(1), dev=False, name=name).start()


def own_id(agent: Agent) -> str:
    return str(agent.json("node", "status", "-self", "-json")["Node"]["ID"])


@pytest.mark.timeout(240)
def test_two_nodes_are_drained_one_after_the_other_and_enough_stays_up(
    make_agent: AgentFactory,
) -> None:
    server = make_agent(name="server").start()
    agents = [server, *(joined(make_agent, server, name) for name in ("second", "third"))]
    job = ROOT / "contrib" / "jobs" / "drain.nomad.hcl"
    server.run("job", "run", str(job), limit_s=60)
    assert len(server.running("drain")) == 6
    lowest = 6
    drained: set[str] = set()
    for _ in range(2):
        # one that has work to move; how ties between equal nodes are settled is the scheduler's matter
        node_id = str(server.running("drain")[0]["NodeID"])
        drained.add(node_id)
        server.run("node", "drain", "-enable", "-deadline", "5m", "-detach", "-m", "new disk", node_id)

        def over(node_id: str = node_id) -> bool:
            nonlocal lowest
            up = [
                alloc
                for alloc in server.running("drain")
                if (alloc.get("DeploymentStatus") or {}).get("Healthy")
            ]
            lowest = min(lowest, len(up))
            stub = next(n for n in server.json("node", "status", "-json") if n["ID"] == node_id)
            return not stub["Drain"]

        wait_for("the drain to end", over, limit_s=90, detail=server.tail)
        one = server.json("node", "status", "-json", node_id)["Node"]
        assert one["SchedulingEligibility"] == "ineligible"
        assert one["LastDrain"]["Status"] == "complete"
        assert "new disk" in server.run("node", "status", node_id).stdout
    assert lowest >= 4
    left = wait_for(
        "six on the third node",
        lambda: len(server.running("drain")) == 6 and server.running("drain"),
        detail=server.tail,
    )
    [last] = {own_id(agent) for agent in agents} - drained
    assert {alloc["NodeID"] for alloc in left} == {last}
    # the last one has nowhere to move its work to: it goes on draining with all but the two that may be missing, and
    # at the deadline these stop all the same
    server.run("node", "drain", "-enable", "-deadline", "1h", "-detach", last)
    refused = server.run("node", "eligibility", "-enable", last, check=False)
    assert refused.returncode == 1 and "draining" in refused.stderr
    assert len(server.running("drain")) >= 4
    done = server.run("node", "drain", "-enable", "-force", last, limit_s=60)
    assert "running -> complete" in done.stdout and "have stopped" in done.stdout
    server.run("job", "stop", "-purge", "-yes", "drain")
