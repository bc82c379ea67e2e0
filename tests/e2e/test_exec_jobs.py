"""exec jobs on a real runtime: isolated, answered, survive agent and supervisor, leave nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import BOTH_ROLES, AgentFactory
from tests.e2e.harness import Agent, wait_for
from tests.e2e.jobs import service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.runc,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("runc") is None, reason="needs root and runc"),
]

COUNTER = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.02; done"


@pytest.fixture
def agent(make_agent: AgentFactory) -> Agent:
    return make_agent(BOTH_ROLES, dev=False).start()


def supervisor_of(agent: Agent) -> psutil.Process:
    return next(p for p in agent.relatives() if "plugins.supervisor" in " ".join(p.cmdline()))


def lines(agent: Agent, job: str) -> int:
    done = agent.run("job", "logs", job, check=False)
    return done.stdout.count("line ") if done.returncode == 0 else 0


def mounts_of(agent: Agent) -> list[str]:
    return [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(agent.data_dir) in line
    ]


def test_an_exec_job_is_isolated_and_survives(agent: Agent) -> None:
    agent.run("job", "run", agent.job(service("jail", driver="exec", args=f'["-c", "{COUNTER}"]')))
    [alloc] = agent.running("jail")
    wait_for("some lines", lambda: lines(agent, "jail") > 20, detail=agent.tail)
    inside = agent.run(
        "alloc", "exec", alloc["ID"], "/bin/sh", "-c", "id -u; ls /; echo $NOMAD_TASK_DIR"
    ).stdout.split()
    assert inside[0] != "0"
    assert "local" in inside and "secrets" in inside and "alloc" in inside
    assert inside[-1] == "/local"

    agent.kill()
    agent.start()
    [after] = wait_for("the allocation", lambda: agent.running("jail"), detail=agent.tail)
    assert after["ID"] == alloc["ID"] and after["TaskStates"]["t"]["Restarts"] == 0
    seen = lines(agent, "jail")
    wait_for("more lines", lambda: lines(agent, "jail") > seen + 20)
    supervisor_of(agent).kill()
    seen = lines(agent, "jail")
    wait_for(
        "lines after the supervisor's death", lambda: lines(agent, "jail") > seen + 20, detail=agent.tail
    )
    text = agent.run("job", "logs", "jail").stdout
    numbers = [int(line.split()[-1]) for line in text.splitlines() if "line " in line]
    assert numbers == list(range(1, len(numbers) + 1))

    agent.run("job", "stop", "-yes", "jail", limit_s=15)
    wait_for("its mounts to be gone", lambda: not mounts_of(agent), 15, agent.tail)
    assert agent.stop() == 0
    wait_for("all its processes to be gone", lambda: not agent.relatives(), 20)
    left = list(Path("/sys/fs/cgroup").rglob(f"*{alloc['ID'][:8]}*"))
    assert left == []


def test_too_much_memory_is_said(agent: Agent) -> None:
    hog = "x=a; while true; do x=$x$x; done"
    restart = (
        'restart {\n  attempts = 0\n  mode = "fail"\n}\nreschedule {\n  attempts = 0\n  unlimited = false\n}'
    )
    job = service("hog", driver="exec", args=f'["-c", "{hog}"]', group=restart)
    agent.run("job", "run", "-detach", agent.job(job))
    wait_for(
        "the failure", lambda: any(a["ClientStatus"] == "failed" for a in agent.allocs("hog")), 60, agent.tail
    )
    assert "OOM" in agent.run("job", "why", "hog", check=False).stdout
