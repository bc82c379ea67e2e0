"""Fixtures: agents that are ended and checked for leaks whatever happens."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Agent

AgentFactory = Callable[..., Agent]

#: a configured agent may run raw_exec only when it is told so.
WITH_RAW_EXEC = """
plugin "raw_exec" {
  config {
    enabled = true
  }
}
"""

BOTH_ROLES = """
server {
  enabled = true
}
client {
  enabled = true
}
"""


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[AgentFactory]:
    """Make agents that are cleaned up at the end."""
    with contextlib.ExitStack() as cleaning:

        def make(config: str = "", *, dev: bool = True, name: str = "agent") -> Agent:
            agent = Agent(tmp_path / name, config, dev=dev)
            # one that cannot be cleaned up is reported, and keeps none of the others from it
            cleaning.callback(agent.clean_up)
            return agent

        yield make


@pytest.fixture
def dev_agent(make_agent: AgentFactory) -> Agent:
    """A development agent, ready."""
    return make_agent().start()


@pytest.fixture
def durable_agent(make_agent: AgentFactory) -> Agent:
    """A configured agent with both roles, a data_dir that lasts, and raw_exec."""
    return make_agent(BOTH_ROLES + WITH_RAW_EXEC, dev=False).start()


@pytest.fixture(autouse=True)
def private_runtime_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of a test never find another agent's well-known socket."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.fspath(tmp_path / "runtime"))
