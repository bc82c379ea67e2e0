"""A node that is out of sight for a while: its work is unknown, runs on, and is taken back."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

from tests.e2e.conftest import AgentFactory
from tests.e2e.harness import Agent, wait_for
from tests.e2e.jobs import service

GROUP = """
constraint {
  distinct_hosts = true
}
disconnect {
  lost_after = "5m"
  replace    = false
}
"""


def node_config(server: Agent) -> str:
    address = re.search(r"tcp://127\.0\.0\.1:\d+", server.tail())
    assert address is not None
    return f"""
client {{
  enabled = true
  servers = ["{address.group().removeprefix("tcp://")}"]
}}
plugin "raw_exec" {{
  config {{
    enabled = true
  }}
}}
"""


def nodes(server: Agent) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.run("node", "status", "-json").stdout)
    return found


def status_of(server: Agent, node_id: str) -> str:
    return next(node["Status"] for node in nodes(server) if node["ID"] == node_id)


def test_work_on_a_node_out_of_sight_is_unknown_and_taken_back(make_agent: AgentFactory) -> None:
    server = make_agent(name="server").start()
    own = {node["ID"] for node in nodes(server)}
    late = make_agent(node_config(server), dev=False, name="late").start()
    wait_for("two ready nodes", lambda: len(nodes(server)) == 2)
    server.run("job", "run", server.job(service("pair", count=2, group=GROUP)))
    [there] = [alloc for alloc in server.running("pair") if alloc["NodeID"] not in own]
    assert late.process is not None
    late.process.send_signal(signal.SIGSTOP)
    try:
        wait_for(
            "the node to be disconnected",
            lambda: status_of(server, there["NodeID"]) == "disconnected",
            limit_s=30,
        )
        wait_for(
            "its allocation to be unknown",
            lambda: {a["ID"]: a["ClientStatus"] for a in server.allocs("pair")}[there["ID"]] == "unknown",
        )
    finally:
        late.process.send_signal(signal.SIGCONT)
    wait_for("the node to be ready", lambda: status_of(server, there["NodeID"]) == "ready", limit_s=30)
    assert {a["ID"]: a["ClientStatus"] for a in server.allocs("pair")}[there["ID"]] == "running"
    assert len(server.allocs("pair")) == 2
    server.run("job", "stop", "-yes", "pair")
