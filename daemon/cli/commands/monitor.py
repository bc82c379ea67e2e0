"""`encamp monitor`: the live log of an agent."""

from __future__ import annotations

import click

from daemon.cli.framework import command, option
from daemon.cli.session import Session
from daemon.cli.with_session import with_session
from daemon.rpc.methods import AGENT_MONITOR

LEVELS = ("trace", "debug", "info", "warn", "error")


@command("monitor", example="encamp monitor -log-level debug")
@option(
    "-log-level",
    "log_level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    help="Show lines of this level and above; independent of the agent's own.",
)
@option("-log-json", "log_json", is_flag=True, help="Lines as JSON.")
@option("-json", "as_json", is_flag=True, help="The same as -log-json.")
@with_session
def monitor(session: Session, log_level: str, log_json: bool, as_json: bool) -> None:
    """Follow the log of the agent that answers, until Ctrl-C."""
    with session.stream(AGENT_MONITOR, log_level=log_level.upper(), log_json=log_json or as_json) as stream:
        while (line := stream.recv()) is not None:
            session.console.write_bytes(line if line.endswith(b"\n") else line + b"\n")
