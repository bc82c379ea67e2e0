"""One agent process, composed from its configuration: server role, node role, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daemon.config.settings import AgentConfig


def run(config: AgentConfig) -> int:
    """Run an agent until it is told to stop. Returns the exit code."""
    from daemon.agent.run import run_agent

    return run_agent(config)
