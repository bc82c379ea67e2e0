"""The redis job of the classic shape on a real engine: answers, restarts, survives the agent, goes."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import BOTH_ROLES, AgentFactory
from tests.e2e.harness import Agent, wait_for
from tests.engine import api, docker_engine

__all__ = ["docker_engine"]

pytestmark = [pytest.mark.slow, pytest.mark.docker]

JOB = (Path(__file__).resolve().parents[2] / "contrib/demo/redis.nomad.hcl").read_text()


@pytest.fixture
def agent(make_agent: AgentFactory, docker_engine: str) -> Agent:
    """A configured agent whose docker driver speaks to the test's engine."""
    plugin = f'plugin "docker" {{\n  config {{\n    endpoint = "{docker_engine}"\n  }}\n}}\n'
    return make_agent(BOTH_ROLES + plugin, dev=False).start()


def ping(address: tuple[str, int]) -> bytes:
    try:
        with socket.create_connection(address, timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64)
    except OSError:
        return b""


def containers(engine: str, alloc_id: str) -> list[dict[str, Any]]:
    client = api(engine)
    try:
        found = client.containers(all=True)
    finally:
        client.close()
    return [c for c in found if alloc_id in str(c["Labels"]) or any(alloc_id in name for name in c["Names"])]


def test_the_redis_job(agent: Agent, docker_engine: str) -> None:
    job = agent.job(
        JOB.replace('task "redis" {', 'restart {\n      delay = "1s"\n    }\n    task "redis" {'), "cache.hcl"
    )
    agent.run("job", "run", job, limit_s=90)
    [alloc] = agent.running("cache")
    [held] = alloc["AllocatedResources"]["Shared"]["Ports"]
    port = (held["HostIP"], held["Value"])
    wait_for("redis to answer", lambda: ping(port) == b"+PONG\r\n", detail=agent.tail)

    # killing the container restarts it by policy
    [container] = containers(docker_engine, alloc["ID"])
    client = api(docker_engine)
    client.kill(container["Id"])
    client.close()
    wait_for(
        "a restart",
        lambda: agent.allocs("cache")[0]["TaskStates"]["redis"]["Restarts"] == 1,
        detail=agent.tail,
    )
    wait_for("redis to answer again", lambda: ping(port) == b"+PONG\r\n", detail=agent.tail)

    # SIGKILL of the agent leaves it running; a new agent takes it back
    [before] = containers(docker_engine, alloc["ID"])
    agent.kill()
    assert ping(port) == b"+PONG\r\n"
    agent.start()
    [after] = wait_for("the allocation", lambda: agent.running("cache"), detail=agent.tail)
    assert after["ID"] == alloc["ID"]
    assert after["TaskStates"]["redis"]["Restarts"] == 1
    assert [c["Id"] for c in containers(docker_engine, alloc["ID"])] == [before["Id"]]
    assert ping(port) == b"+PONG\r\n"
    assert "Ready to accept connections" in agent.run("job", "logs", "cache").stdout

    # a stop removes it within 15 s
    agent.run("job", "stop", "-yes", "cache", limit_s=15)
    wait_for("the container to be gone", lambda: not containers(docker_engine, alloc["ID"]), 15)
    assert ping(port) == b""


def test_a_missing_image_is_said_in_words(agent: Agent) -> None:
    text = JOB.replace("redis:3.2", "no-such-image-here:1").replace('job "cache"', 'job "absent"')
    agent.run("job", "run", "-detach", agent.job(text))

    def said() -> bool:
        return "no-such-image-here" in agent.run("job", "why", "absent", check=False).stdout

    wait_for("the reason", said, 60, agent.tail)
    agent.run("job", "stop", "-yes", "absent")
