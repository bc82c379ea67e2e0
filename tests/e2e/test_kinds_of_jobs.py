"""Batch, failing and system jobs; a node-only agent; exit codes that scripts can trust."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import AgentFactory
from tests.e2e.harness import Agent, wait_for
from tests.e2e.jobs import service

pytestmark = pytest.mark.slow


def test_a_batch_job_completes_with_its_exit_code_and_is_not_rerun(dev_agent: Agent) -> None:
    job = dev_agent.job(service("once", type_="batch", args='["-c", "echo done; exit 0"]'))
    assert dev_agent.run("job", "run", "-wait", job).returncode == 0
    [alloc] = dev_agent.allocs("once")
    assert alloc["ClientStatus"] == "complete"
    terminated = [e for e in alloc["TaskStates"]["t"]["Events"] if e["Type"] == "Terminated"]
    assert [e["ExitCode"] for e in terminated] == [0]
    dev_agent.run("job", "run", job)
    dev_agent.run("job", "eval", "once")
    assert [a["ID"] for a in dev_agent.allocs("once")] == [alloc["ID"]]


def test_a_failing_batch_job_is_rescheduled_after_five_seconds_then_given_up(dev_agent: Agent) -> None:
    restart = 'restart {\n  attempts = 0\n  mode = "fail"\n}'
    job = dev_agent.job(service("broken", type_="batch", args='["-c", "exit 7"]', group=restart))
    dev_agent.run("job", "run", "-detach", job)
    wait_for(
        "two failed allocations",
        lambda: len([a for a in dev_agent.allocs("broken") if a["ClientStatus"] == "failed"]) == 2,
    )
    second, first = sorted(dev_agent.allocs("broken"), key=lambda a: -a["CreateIndex"])
    assert second["PreviousAllocation"] == first["ID"]
    assert first["NextAllocation"] == second["ID"]
    finished = first["TaskStates"]["t"]["FinishedAt"]
    assert 4.5 <= (second["CreateTime"] - finished) / 1e9 <= 15
    why = dev_agent.run("job", "why", "broken", check=False).stdout
    assert "7" in why and "failed" in why
    wait_for(
        "the job to be dead", lambda: dev_agent.json("job", "inspect", "broken")["Job"]["Status"] == "dead"
    )


def test_a_system_job_lands_on_a_node_that_joins_later(make_agent: AgentFactory) -> None:
    server = make_agent(name="server").start()
    server.run("job", "run", server.job(service("everywhere", type_="system")))
    assert len(server.running("everywhere")) == 1
    address = re.search(r"tcp://127\.0\.0\.1:\d+", server.tail())
    assert address is not None
    config = f"""
client {{
  enabled = true
  servers = ["{address.group().removeprefix("tcp://")}"]
  node_class = "late"
}}
plugin "raw_exec" {{
  config {{
    enabled = true
  }}
}}
"""
    late = make_agent(config, dev=False, name="late").start()
    both = wait_for(
        "an allocation on each node",
        lambda: len(server.running("everywhere")) == 2 and server.running("everywhere"),
        detail=late.tail,
    )
    assert len({alloc["NodeID"] for alloc in both}) == 2
    # commands to the node-only agent are answered through its server, logs of its task through the node
    assert "everywhere" in late.run("job", "status").stdout
    for alloc in both:
        done = server.run("alloc", "exec", alloc["ID"], "/bin/echo", "hello")
        assert done.stdout.strip() == "hello"
    server.run("job", "stop", "-yes", "everywhere")


def test_a_sysbatch_job_runs_once_on_the_node_and_again_after_a_change(dev_agent: Agent) -> None:
    body = service("sweep", type_="sysbatch", command="/bin/true", args="[]")
    assert "complete" in dev_agent.run("job", "run", "-wait", dev_agent.job(body)).stdout
    [first] = dev_agent.allocs("sweep")
    assert first["ClientStatus"] == "complete"
    assert dev_agent.json("job", "inspect", "sweep")["Job"]["Status"] == "dead"
    dev_agent.run("job", "run", "-wait", dev_agent.job(body))
    assert len(dev_agent.allocs("sweep")) == 1
    changed = service(
        "sweep", type_="sysbatch", command="/bin/false", args="[]", group="restart {\n attempts = 0\n}"
    )
    done = dev_agent.run("job", "run", "-wait", dev_agent.job(changed), check=False)
    assert done.returncode != 0 and len(dev_agent.allocs("sweep")) == 2


def test_exit_codes_of_job_run(dev_agent: Agent) -> None:
    fits = dev_agent.run("job", "run", dev_agent.job(service("fits")), check=False)
    assert fits.returncode == 0
    huge = dev_agent.run("job", "run", dev_agent.job(service("huge", memory=10_000_000)), check=False)
    assert huge.returncode == 2
    assert "memory" in huge.stdout + huge.stderr
    bad = dev_agent.run("job", "run", dev_agent.job('job "x" {\n  tipe = "service"\n}'), check=False)
    assert bad.returncode == 1
    assert ":2:3" in bad.stderr and "type" in bad.stderr
    missing = dev_agent.job(service("missing", command="/no/such/program"))
    failing = dev_agent.run("job", "run", "-timeout", "20s", missing, check=False, limit_s=60)
    assert failing.returncode == 1
    assert "no/such/program" in failing.stdout + failing.stderr
    assert "no/such/program" in dev_agent.run("job", "why", "missing", check=False).stdout


def test_a_change_of_the_command_replaces_the_task_and_a_count_keeps_it(dev_agent: Agent) -> None:
    dev_agent.run("job", "run", dev_agent.job(service("app", count=2)))
    before = {alloc["ID"] for alloc in dev_agent.running("app")}
    dev_agent.run("job", "run", dev_agent.job(service("app", count=3)))
    more = {alloc["ID"] for alloc in dev_agent.running("app")}
    assert before < more and len(more) == 3
    plan = dev_agent.run(
        "job", "plan", dev_agent.job(service("app", count=3, args='["-c", "exec sleep 400"]')), check=False
    )
    assert plan.returncode == 1 and "create/destroy update" in plan.stdout
    dev_agent.run(
        "job", "run", dev_agent.job(service("app", count=3, args='["-c", "exec sleep 400"]')), limit_s=90
    )
    after = {alloc["ID"] for alloc in dev_agent.running("app")}
    assert len(after) == 3 and not after & more
    versions = dev_agent.run("job", "history", "app").stdout
    assert re.search(r"Version\s+= 2", versions)
    dev_agent.run("job", "stop", "-yes", "app")
    assert dev_agent.running("app") == []


def test_a_rolling_update_replaces_one_after_the_other_by_health(dev_agent: Agent) -> None:
    dev_agent.run("job", "run", dev_agent.job(service("roll", count=3)))
    changed = service("roll", count=3, args='["-c", "exec sleep 301"]')
    dev_agent.run("job", "run", "-detach", dev_agent.job(changed))
    most = 0

    def newest() -> bool:
        nonlocal most
        live = [a for a in dev_agent.allocs("roll") if a["DesiredStatus"] == "run"]
        assert len(live) == 3
        fresh = [a for a in live if a["JobVersion"] == 1]
        most = max(most, sum((a["DeploymentStatus"] or {}).get("Healthy") is None for a in fresh))
        return len(fresh) == 3 and all((a["DeploymentStatus"] or {}).get("Healthy") for a in fresh)

    wait_for("all of them to be of the newest version", newest, detail=dev_agent.tail)
    assert most <= 1
    assert len({a["DeploymentID"] for a in dev_agent.running("roll")}) == 1
    wait_for("a stable version", lambda: dev_agent.json("job", "inspect", "roll")["Job"]["Stable"])
