"""A machine that ruins its work, on real agents with raw_exec tasks: named, quarantined, avoided, released."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.conftest import AgentFactory
from tests.e2e.harness import ROOT, Agent, wait_for
from tests.e2e.jobs import service

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
RESCHEDULE = """
restart {
  attempts = 0
  mode     = "fail"
}
reschedule {
  attempts       = 0
  unlimited      = true
  delay          = "5s"
  delay_function = "constant"
}
"""


def joined(make_agent: AgentFactory, server: Agent, name: str) -> Agent:
    """A node-only agent of that server."""
    address = re.search(r"tcp://(127\.0\.0\.1:\d+)", server.tail())
    assert address is not None
    return make_agent(CLIENT % address.group(1), dev=False, name=name).start()


def node_of(agent: Agent) -> str:
    return str(agent.json("node", "status", "-self", "-json")["Node"]["ID"])


def fragile(name: str, marks: Path, *, count: int = 1, group: str = RESCHEDULE) -> str:
    """A service whose tasks fail on machines that have a mark."""
    script = f"test ! -e {marks}/$1 && exec sleep 300"
    arguments = f'["-c", "{script}", "sh", "${{node.unique.id}}"]'
    return service(name, count=count, args=arguments, group=group)


@pytest.mark.timeout(240)
def test_a_node_that_ruins_its_work_is_named_quarantined_avoided_and_released(
    make_agent: AgentFactory, tmp_path: Path
) -> None:
    server = make_agent(name="server").start()
    bad = node_of(server)
    (tmp_path / bad).touch()
    for name in ("etl", "mail", "web"):
        server.run("job", "run", "-detach", server.job(fragile(name, tmp_path), f"{name}.hcl"))

    def stub(node_id: str) -> dict[str, object]:
        return next(n for n in server.json("node", "status", "-json") if n["ID"] == node_id)

    def record() -> dict[str, object]:
        return dict(server.json("node", "status", "-json", bad)["Node"])

    # observing is what it does by itself
    named = wait_for("the mark", lambda: record().get("Quarantine"), limit_s=60, detail=server.tail)
    assert named["HeldBack"] == "observing only" and "of 3 jobs failed there" in named["Reason"]
    assert "no (observing only)" in server.run("node", "status", bad).stdout
    why = server.run("job", "why", "web", check=False).stdout
    assert "it would be quarantined" in why and "observing only" in why

    # one of one would be all there is
    server.run("operator", "scheduler", "set-config", "-quarantine", "on", "-quarantine-share", "50")
    settings = server.run("operator", "scheduler", "get-config").stdout
    assert re.search(r"Quarantine Share +(= )?50%", settings) and re.search(r"Half-Life +(= )?30m", settings)
    none = ("operator", "scheduler", "set-config", "-quarantine-half-life", "0s")
    refused = server.run(*none, check=False)
    assert refused.returncode == 1 and "half-life" in refused.stderr
    wait_for(
        "the share to hold it back", lambda: "at most 0 of the 1" in str(record()["Quarantine"]), limit_s=30
    )
    good = node_of(joined(make_agent, server, "second"))
    wait_for("the quarantine", lambda: stub(bad)["Quarantine"], limit_s=30, detail=server.tail)
    listed = server.run("node", "status").stdout
    assert "quarantined" in listed and stub(bad)["SchedulingEligibility"] == "eligible"
    shown = server.run("node", "status", bad).stdout
    assert re.search(r"Quarantine +Quarantined: \d+ allocations of 3 jobs", shown), shown

    # what failed there recovers elsewhere, and new work goes elsewhere
    for name in ("etl", "mail", "web"):
        [alloc] = wait_for(
            f"{name} to run", lambda name=name: server.running(name), limit_s=60, detail=server.tail
        )
        assert alloc["NodeID"] == good
    server.run("job", "run", server.job(fragile("new", tmp_path, count=3), "new.hcl"), limit_s=60)
    assert {alloc["NodeID"] for alloc in server.running("new")} == {good}

    # work that can run nowhere else is told why, and begins when the operator has mended the machine
    here = f'constraint {{\n  attribute = "${{node.unique.id}}"\n  value = "{bad}"\n}}'
    server.run("job", "run", "-detach", server.job(fragile("bound", tmp_path, group=here), "bound.hcl"))
    why = wait_for(
        "the reason",
        lambda: "quarantined" in (said := server.run("job", "why", "bound", check=False).stdout) and said,
    )
    assert f"node eligibility -enable {bad[:8]}" in why
    (tmp_path / bad).unlink()
    server.run("node", "eligibility", "-enable", bad)
    [alloc] = wait_for("bound to run", lambda: server.running("bound"), limit_s=60, detail=server.tail)
    assert alloc["NodeID"] == bad and not stub(bad)["Quarantine"]
    assert "Quarantine ended by an operator" in server.run("node", "status", bad).stdout


@pytest.mark.timeout(120)
def test_the_example_brings_a_node_into_quarantine_and_the_operator_out(dev_agent: Agent) -> None:
    dev_agent.run("operator", "scheduler", "set-config", "-quarantine", "on", "-quarantine-share", "100")
    text = (ROOT / "contrib" / "jobs" / "fragile.nomad.hcl").read_text()
    for number in range(3):
        job = dev_agent.job(text.replace('"fragile"', f'"fragile-{number}"'), f"fragile-{number}.hcl")
        dev_agent.run("job", "run", "-detach", job)

    def status() -> str:
        return dev_agent.run("node", "status", "-self").stdout

    wait_for("the quarantine", lambda: "Quarantined: 3 allocations of 3 jobs" in status(), limit_s=60)
    dev_agent.run("node", "eligibility", "-enable", "-self")
    assert "Quarantine ended by an operator" in status()
    assert "quarantined" not in dev_agent.run("node", "status").stdout
