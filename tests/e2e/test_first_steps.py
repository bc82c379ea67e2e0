"""What a new user does first, against real agents."""

from __future__ import annotations

import signal
import socket
import urllib.request

import pytest

from tests.e2e.conftest import AgentFactory
from tests.e2e.harness import Agent, port_of, wait_for
from tests.e2e.jobs import service

pytestmark = pytest.mark.slow

PORT = """
network {
  port "http" {}
}
"""


def test_a_service_answers_is_logged_and_goes(dev_agent: Agent) -> None:
    args = '["-u", "-m", "http.server", "--bind", "127.0.0.1", "${NOMAD_PORT_http}"]'
    job = dev_agent.job(service("hello", command="python3", args=args, group=PORT))
    done = dev_agent.run("job", "run", job)
    assert "is up" in done.stdout
    [alloc] = dev_agent.running("hello")
    port = port_of(alloc, "http")
    assert 20000 <= port <= 32000

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    wait_for("the service to answer", answers)
    wait_for("its log", lambda: "GET /" in dev_agent.run("job", "logs", "-stderr", "hello").stdout)
    dev_agent.run("job", "stop", "-yes", "hello")
    wait_for("the port to be closed", lambda: not listening(port))
    assert dev_agent.running("hello") == []


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_dev_agent_leaves_nothing_behind(make_agent: AgentFactory) -> None:
    agent = make_agent().start()
    agent.run("job", "run", agent.job(service("sleeper", count=2)))
    assert len(agent.running("sleeper")) == 2
    assert agent.stop() == 0
    wait_for("all its processes to be gone", lambda: not agent.relatives(), 10)
    assert not agent.socket.exists()


def test_sigint_ends_an_agent_cleanly_too(make_agent: AgentFactory) -> None:
    agent = make_agent().start()
    assert agent.process is not None
    agent.process.send_signal(signal.SIGINT)
    assert agent.process.wait(30) == 0


def test_two_agents_do_not_share_a_data_dir(dev_agent: Agent, make_agent: AgentFactory) -> None:
    other = make_agent()
    other.start(wait=False)
    assert other.process is not None
    assert other.process.wait(30) == 1
    assert "belongs to a running agent already" in other.tail()


def test_a_taken_port_is_named_with_the_key_to_change(make_agent: AgentFactory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        agent = make_agent()
        agent.config.write_text(f'data_dir = "{agent.data_dir}"\nports {{\n  rpc = {port}\n}}\n')
        agent.start(wait=False)
        assert agent.process is not None
        assert agent.process.wait(30) == 1
    assert f"127.0.0.1:{port}" in agent.tail()
    assert "ports.rpc" in agent.tail()


def test_several_agents_run_side_by_side(make_agent: AgentFactory) -> None:
    one, two = make_agent(name="one").start(), make_agent(name="two").start()
    one.run("job", "run", one.job(service("only-here")))
    assert "only-here" in one.run("job", "status").stdout
    assert "only-here" not in two.run("job", "status").stdout
    assert one.stop() == 0
    assert two.run("node", "status").returncode == 0
    wait_for("the first one's processes to be gone", lambda: not one.relatives(), 10)


@pytest.mark.parametrize("number", range(6))
def test_sigterm_during_start_up_ends_clean(make_agent: AgentFactory, number: int) -> None:
    agent = make_agent().start(wait=False)
    assert agent.process is not None
    marks = ("", "agent.lock", "supervisor", "client/state.db", "alloc", "agent.sock")
    wait_for(
        "the step of start-up",
        lambda: agent.process.poll() is None and (agent.data_dir / marks[number]).exists(),  # type: ignore[union-attr]
        20,
        agent.tail,
    )
    agent.process.send_signal(signal.SIGTERM)
    code = agent.process.wait(30)
    assert code in (0, -signal.SIGTERM)
    wait_for("all its processes to be gone", lambda: not agent.relatives(), 30)
    assert "Traceback" not in agent.tail()
