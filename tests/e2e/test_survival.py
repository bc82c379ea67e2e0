"""SIGKILL of agent, supervisor, worker and tasks: the right set of tasks remains, none doubled, none orphaned."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import BOTH_ROLES, WITH_RAW_EXEC, AgentFactory
from tests.e2e.harness import Agent, wait_for
from tests.e2e.jobs import service

pytestmark = pytest.mark.slow

#: writes a line every 20 ms, numbered, for as long as it lives.
COUNTER = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.02; done"


def pid_of(agent: Agent, job: str) -> int:
    """Pid that the job's one task has written into its directory."""
    [alloc] = agent.running(job)
    path = agent.data_dir / "alloc" / alloc["ID"] / "t" / "local" / "pid"
    return int(wait_for("the pid file", lambda: path.read_text().strip() if path.exists() else ""))


def with_pid(script: str) -> str:
    return f'["-c", "echo $$ > $NOMAD_TASK_DIR/pid; {script}"]'


def supervisor_of(agent: Agent) -> psutil.Process:
    return next(p for p in agent.relatives() if "plugins.supervisor" in " ".join(p.cmdline()))


def test_tasks_outlive_the_agent_and_are_taken_back(durable_agent: Agent) -> None:
    agent = durable_agent
    agent.run("job", "run", agent.job(service("survivor", args=with_pid("exec sleep 600"))))
    pid = pid_of(agent, "survivor")
    [before] = agent.running("survivor")
    agent.kill()
    assert psutil.pid_exists(pid)
    agent.start()
    [after] = wait_for("the allocation to be reported", lambda: agent.running("survivor"))
    assert after["ID"] == before["ID"]
    assert pid_of(agent, "survivor") == pid
    assert psutil.pid_exists(pid)
    assert after["TaskStates"]["t"]["Restarts"] == 0
    agent.run("job", "stop", "-yes", "survivor", limit_s=15)
    wait_for("the task to be gone", lambda: not psutil.pid_exists(pid), 15)


def test_a_configured_agent_leaves_its_tasks_running(durable_agent: Agent) -> None:
    agent = durable_agent
    agent.run("job", "run", agent.job(service("stays", args=with_pid("exec sleep 600"))))
    pid = pid_of(agent, "stays")
    assert agent.stop() == 0
    assert psutil.pid_exists(pid)
    agent.start()
    wait_for("the allocation", lambda: agent.running("stays"))
    assert pid_of(agent, "stays") == pid
    agent.run("job", "stop", "-yes", "stays")
    wait_for("the task to be gone", lambda: not psutil.pid_exists(pid), 15)


def test_a_killed_task_is_restarted_by_policy(dev_agent: Agent) -> None:
    restart = 'restart {\n  attempts = 3\n  interval = "5m"\n  delay = "200ms"\n}'
    dev_agent.run(
        "job", "run", dev_agent.job(service("phoenix", args=with_pid("exec sleep 600"), group=restart))
    )
    first = pid_of(dev_agent, "phoenix")
    os.kill(first, signal.SIGKILL)

    def again() -> int:
        running = dev_agent.running("phoenix")
        now = pid_of(dev_agent, "phoenix") if running else 0
        return now if now != first and running[0]["TaskStates"]["t"]["Restarts"] == 1 else 0

    wait_for("the task to run again", again)
    [alloc] = dev_agent.running("phoenix")
    kinds = [event["Type"] for event in alloc["TaskStates"]["t"]["Events"]]
    assert "Terminated" in kinds and "Restarting" in kinds


def test_no_line_is_lost_when_agent_or_supervisor_are_killed(durable_agent: Agent) -> None:
    agent = durable_agent
    agent.run("job", "run", agent.job(service("counter", args=f'["-c", "{COUNTER}"]')))
    wait_for("some lines", lambda: lines(agent) > 20)
    agent.kill()
    agent.start()
    wait_for("the allocation", lambda: agent.running("counter"))
    seen = lines(agent)
    wait_for("more lines", lambda: lines(agent) > seen + 20)
    supervisor_of(agent).kill()
    seen = lines(agent)
    wait_for("lines after the supervisor's death", lambda: lines(agent) > seen + 20)
    text = agent.run("job", "logs", "counter").stdout
    numbers = [int(line.split()[-1]) for line in text.splitlines() if "line " in line]
    assert numbers == list(range(1, len(numbers) + 1))
    agent.run("job", "stop", "-yes", "counter")


def lines(agent: Agent) -> int:
    done = agent.run("job", "logs", "counter", check=False)
    return done.stdout.count("line ") if done.returncode == 0 else 0


def test_a_worker_killed_at_work_delays_and_nothing_more(dev_agent: Agent) -> None:
    def worker() -> psutil.Process:
        return wait_for(
            "a worker",
            lambda: next(
                (
                    p
                    for p in psutil.Process(dev_agent.process.pid).children()
                    if "daemon.evaluation.worker" in " ".join(p.cmdline())
                ),  # type: ignore[union-attr]
                None,
            ),
        )

    victim = worker()
    victim.send_signal(signal.SIGSTOP)
    dev_agent.run("job", "run", "-detach", dev_agent.job(service("delayed")))
    victim.kill()
    wait_for("the allocation in spite of it", lambda: dev_agent.running("delayed"))
    assert worker().pid != victim.pid


def test_everything_killed_at_once_ends_as_unknown_exit_status_and_recovers(make_agent: AgentFactory) -> None:
    agent = make_agent(BOTH_ROLES + WITH_RAW_EXEC, dev=False).start()
    restart = 'restart {\n  attempts = 5\n  interval = "5m"\n  delay = "200ms"\n}'
    agent.run("job", "run", agent.job(service("lost", args=with_pid("exec sleep 600"), group=restart)))
    first = pid_of(agent, "lost")
    supervisor = supervisor_of(agent)
    agent.kill()
    supervisor.kill()
    os.kill(first, signal.SIGKILL)
    agent.start()
    wait_for(
        "the task to run again",
        lambda: agent.running("lost") and pid_of(agent, "lost") != first,
        detail=agent.tail,
    )
    [alloc] = agent.running("lost")
    said = " ".join(event["DisplayMessage"] for event in alloc["TaskStates"]["t"]["Events"])
    assert "unknown" in said, said
    agent.run("job", "stop", "-yes", "lost")


def test_state_survives_the_server(durable_agent: Agent, tmp_path: Path) -> None:
    agent = durable_agent
    agent.run("job", "run", "-detach", agent.job(service("kept", count=3)))
    wait_for("three allocations", lambda: len(agent.running("kept")) == 3)
    ids = {alloc["ID"] for alloc in agent.running("kept")}
    agent.kill()
    agent.start()
    assert wait_for("the same three", lambda: {a["ID"] for a in agent.running("kept")} == ids)
    agent.run("job", "stop", "-yes", "kept")
