"""A lost rack, simulated on real agents: three nodes in three racks, running tasks, and nothing that changes."""

from __future__ import annotations

import json
import re

import pytest

from tests.e2e.conftest import WITH_RAW_EXEC, AgentFactory
from tests.e2e.harness import wait_for
from tests.e2e.jobs import service

pytestmark = pytest.mark.slow


def test_losing_a_rack_is_simulated_on_the_live_cluster(make_agent: AgentFactory) -> None:
    rack = "client {\n  meta {\n    rack = RACK\n  }\n}\n"
    server = make_agent(rack.replace("RACK", '"r1"'), name="server").start()
    address = re.search(r"tcp://127\.0\.0\.1:\d+", server.tail())
    assert address is not None
    for name in ("r2", "r3"):
        config = f"""
name = "node-{name}"
client {{
  enabled = true
  servers = ["{address.group().removeprefix("tcp://")}"]
  meta {{
    rack = "{name}"
  }}
}}
"""
        make_agent(config + WITH_RAW_EXEC, dev=False, name=name).start(wait=False)
    wait_for(
        "three ready nodes",
        lambda: [n["Status"] for n in server.json("node", "status", "-json")] == ["ready"] * 3,
    )
    hosts = 'constraint {\n  operator = "distinct_hosts"\n  value = "true"\n}\n'
    server.run("job", "run", server.job(service("web", count=2, group=hosts)))
    before = {alloc["ID"]: alloc["NodeID"] for alloc in server.running("web")}
    assert len(before) == 2
    racks = {n["ID"]: server.json("node", "status", "-json", n["ID"])["Node"]["Meta"]["rack"]
             for n in server.json("node", "status", "-json")}  # fmt: skip
    used = racks[next(iter(before.values()))]
    [free] = set(racks.values()) - {racks[node] for node in before.values()}

    answer = server.json("simulate", "-json", "-lose", f"meta.rack={used}")
    assert answer["Fits"] is True
    [move] = answer["Loss"]["Moves"]
    assert move["JobID"] == "web" and move["ToName"]
    [group] = answer["Loss"]["Groups"]
    assert free in {racks[each["NodeID"]] for each in group["Placements"]}

    both = server.run(
        "simulate", "-json", "-lose", f"meta.rack={used}", "-lose", f"meta.rack={free}", check=False
    )
    assert both.returncode == 1
    assert json.loads(both.stdout)["Loss"]["Groups"][0]["Missing"] == 1

    wider = server.job(service("web", count=4, group=hosts), "wider.hcl")
    done = server.run("simulate", wider, check=False)
    assert done.returncode == 1 and "distinct_hosts" in done.stdout and "1 x like-" in done.stdout
    assert {alloc["ID"]: alloc["NodeID"] for alloc in server.running("web")} == before
    assert server.json("job", "inspect", "web")["Job"]["Version"] == 0
